#include "env/env.h"

#include <stdio.h>

#define LINE_BYTES 512

void env_log(struct env *env, enum env_level level, const char *format, ...)
{
    char line[LINE_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    env->ops->log(env, level, line);
}

void env_halt(struct env *env, const char *format, ...)
{
    char reason[LINE_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    env->is_halted = true;
    env->ops->halt(env, reason);
}
