#include "main/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/limits.h"

#define SECOND_US 1000000u
#define LINE_BYTES 256u

static uint64_t micros(const struct timeval *time)
{
    return (uint64_t)time->tv_sec * SECOND_US + (uint64_t)time->tv_usec;
}

static uint64_t page_bytes(void)
{
    long size = sysconf(_SC_PAGESIZE);
    return size > 0 ? (uint64_t)size : 0;
}

/* The second number of the line: pages in memory. */
static uint64_t resident_bytes(void)
{
    char line[LINE_BYTES];
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL) {
        return 0;
    }
    bool is_read = fgets(line, sizeof line, file) != NULL;
    (void)fclose(file);
    char *second = is_read ? strchr(line, ' ') : NULL;
    return second != NULL ? strtoull(second, NULL, 10) * page_bytes() : 0;
}

void process_describe(struct node_process *out)
{
    *out = (struct node_process){.id = getpid(), .resident_bytes = resident_bytes()};
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        out->user_us = micros(&usage.ru_utime);
        out->system_us = micros(&usage.ru_stime);
        out->resident_bytes_max = (uint64_t)usage.ru_maxrss * KIB;
    }
    struct utsname system;
    if (uname(&system) == 0) {
        (void)snprintf(out->os,
                       sizeof out->os,
                       "%s %s %s",
                       system.sysname,
                       system.release,
                       system.machine);
    }
    long pages = sysconf(_SC_PHYS_PAGES);
    out->machine_bytes = pages > 0 ? (uint64_t)pages * page_bytes() : 0;
}
