/*
 * Heap memory. Running out of it ends the process (no half-tested recovery); admission control
 * keeps clients and peers from getting there. mem_free(NULL) does nothing.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size) __attribute__((malloc, alloc_size(1), returns_nonnull));
void *mem_alloc_zero(size_t size) __attribute__((malloc, alloc_size(1), returns_nonnull));
void *mem_realloc(void *memory, size_t size) __attribute__((alloc_size(2), returns_nonnull));
void mem_free(void *memory);

#endif
