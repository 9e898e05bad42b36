/*
 * Assertions that stay on in every build, and marks for rare states.
 * Never assert on bytes that came from outside: return STATUS_MALFORMED or STATUS_CORRUPT.
 */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

#include <stdint.h>

#define ensure(condition)                                                                          \
    ((condition) ? (void)0 : assert_fail(#condition, __FILE__, __LINE__, __func__))

/* Costly checks: on in the simulator and in debug builds. */
#ifdef DOUGONG_SLOW_CHECKS
#define ensure_slow(condition) ensure(condition)
#else
#define ensure_slow(condition) ((void)0)
#endif

#define unreachable(why) assert_fail("unreachable: " why, __FILE__, __LINE__, __func__)

/* Prints the broken promise and aborts. */
_Noreturn void assert_fail(const char *what, const char *file, int line, const char *function);

/*
 * reached("log: segment rotated") marks a rare state. The simulator lists the marks that no run
 * reached, so a fault schedule that stopped exercising one is noticed. Costs one increment.
 */
struct reached_mark {
    const char *what;
    uint64_t count;
};

#define reached(text)                                                                              \
    do {                                                                                           \
        static struct reached_mark mark_                                                           \
            __attribute__((section("reached_marks"), used)) = {text, 0};                           \
        mark_.count++;                                                                             \
    } while (0)

/* Calls fn for each mark compiled into this program. */
void reached_each(void (*fn)(void *ctx, const struct reached_mark *mark), void *ctx);

#endif
