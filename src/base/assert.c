#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

/* The linker provides the bounds of the section; weak, because a program may have no mark. */
extern struct reached_mark __start_reached_marks[] __attribute__((weak));
extern struct reached_mark __stop_reached_marks[] __attribute__((weak));

_Noreturn void assert_fail(const char *what, const char *file, int line, const char *function)
{
    (void)fprintf(stderr, "%s:%d: %s: broken promise: %s\n", file, line, function, what);
    (void)fflush(NULL);
    abort();
}

void reached_each(void (*fn)(void *ctx, const struct reached_mark *mark), void *ctx)
{
    for (struct reached_mark *m = __start_reached_marks; m < __stop_reached_marks; m++) {
        fn(ctx, m);
    }
}
