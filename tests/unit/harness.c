#include "harness.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_LEAK_CHECK 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define HAS_LEAK_CHECK 1
#endif

#ifdef HAS_LEAK_CHECK
#include <sanitizer/lsan_interface.h>
#endif

#define PRINTED_BYTES_MAX 256u

static struct test *first;
static jmp_buf end_of_test;

void test_register(struct test *test)
{
    struct test **at = &first;
    while (*at != NULL && (*at)->line < test->line) {
        at = &(*at)->next;
    }
    test->next = *at;
    *at = test;
}

_Noreturn static void give_up(void)
{
    (void)fflush(stdout);
    longjmp(end_of_test, 1);
}

static void print_value(const char *name, struct check_value v)
{
    (void)printf("    %s = %s%" PRIuMAX "\n", name, v.is_negative ? "-" : "", v.magnitude);
}

static void print_bytes(const char *name, struct bytes v)
{
    (void)printf("    %s = %zu bytes \"", name, v.size);
    for (size_t i = 0; i < v.size && i < PRINTED_BYTES_MAX; i++) {
        uint8_t c = v.data[i];
        if (c == '"' || c == '\\') {
            (void)printf("\\%c", c);
        } else if (c >= ' ' && c <= '~') {
            (void)putchar(c);
        } else {
            (void)printf("\\x%02x", c);
        }
    }
    (void)printf("\"%s\n", v.size > PRINTED_BYTES_MAX ? "..." : "");
}

void check_true(bool holds, struct check_place place)
{
    if (!holds) {
        (void)printf("%s:%d: not true: %s\n", place.file, place.line, place.a);
        give_up();
    }
}

void check_eq(struct check_value a, struct check_value b, struct check_place place)
{
    if (a.is_negative != b.is_negative || a.magnitude != b.magnitude) {
        (void)printf("%s:%d: not equal:\n", place.file, place.line);
        print_value(place.a, a);
        print_value(place.b, b);
        give_up();
    }
}

void check_text(const char *a, const char *b, struct check_place place)
{
    bool is_equal = a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
    if (!is_equal) {
        (void)printf("%s:%d: not equal:\n", place.file, place.line);
        (void)printf("    %s = \"%s\"\n", place.a, a == NULL ? "(null)" : a);
        (void)printf("    %s = \"%s\"\n", place.b, b == NULL ? "(null)" : b);
        give_up();
    }
}

void check_bytes(struct bytes a, struct bytes b, struct check_place place)
{
    if (a.size != b.size || (a.size > 0 && memcmp(a.data, b.data, a.size) != 0)) {
        (void)printf("%s:%d: not equal:\n", place.file, place.line);
        print_bytes(place.a, a);
        print_bytes(place.b, b);
        give_up();
    }
}

static bool has_leak(void)
{
#ifdef HAS_LEAK_CHECK
    return __lsan_do_recoverable_leak_check() != 0;
#else
    return false;
#endif
}

/* setjmp lives in a function without locals, so that none can be clobbered. */
static bool run(const struct test *test)
{
    if (setjmp(end_of_test) != 0) {
        return false;
    }
    test->run();
    return true;
}

static bool is_wanted(const struct test *test, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strstr(test->name, argv[i]) != NULL) {
            return true;
        }
    }
    return argc < 2;
}

/* Arguments: run only tests whose name contains one of them. */
int main(int argc, char **argv)
{
    int passed = 0;
    int failed = 0;
    for (const struct test *test = first; test != NULL; test = test->next) {
        if (!is_wanted(test, argc, argv)) {
            continue;
        }
        bool is_ok = run(test);
        if (is_ok && has_leak()) {
            (void)printf("%s: leaked memory\n", test->name);
            is_ok = false;
        }
        (void)printf("%s %s\n", is_ok ? "ok" : "FAIL", test->name);
        (void)fflush(stdout);
        passed += is_ok;
        failed += !is_ok;
    }
    (void)printf("%d passed, %d failed\n", passed, failed);
    return failed > 0 ? 1 : 0;
}
