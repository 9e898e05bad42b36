/* How much memory a node takes if nobody says. In bytes. */
#ifndef MAIN_MEMORY_H
#define MAIN_MEMORY_H

#include <stdint.h>

/* 0: nobody knows how much the machine has. */
uint64_t memory_of_buffers(void);
/* Of each, if so many nodes share the machine. */
uint64_t memory_of_cache(uint32_t nodes);

/* How the heap of this process works; before threads start. */
void memory_set_heap(void);

#endif
