/*
 * The settings that CONFIG knows, by Redis' names, one row each: what they are here, and whether
 * and how they can be changed. Most are facts of this server that clients like to read.
 */
#ifndef COMMAND_SETTING_H
#define COMMAND_SETTING_H

#include "base/bytes.h"
#include "command/admin.h"

#define SETTING_PROBLEM_BYTES 192u

enum setting_type {
    SETTING_TEXT,
    SETTING_NUMBER,
    SETTING_MEMORY, /* a number; also "64mb" */
    SETTING_YES_NO,
    SETTING_CHOICE, /* one of the words of .choices */
};

enum setting_change {
    SETTING_FIXED,     /* it is as it is: only its own value is accepted */
    SETTING_IMMUTABLE, /* decided at the start, by an option or by the program */
    SETTING_PROTECTED, /* the same, as Redis answers for it */
    SETTING_LIVE,      /* a member of struct settings */
};

struct setting {
    const char *name;
    enum setting_type type;
    enum setting_change change;
    const char *value;   /* of one that is not live; NULL: show() knows it */
    const char *choices; /* separated by ", " */
    int64_t min;
    int64_t max;
    size_t offset;    /* LIVE: in struct settings; 8 bytes */
    int64_t limit;    /* LIVE: more than this is refused with the hint; 0: none */
    const char *hint; /* why it cannot be changed, or not so; NULL: a general text */
    void (*show)(const struct command_admin *admin, struct buf *out);
};

/* Ends with a row without a name. */
extern const struct setting setting_table[];

/* By its name in any case; or NULL. */
const struct setting *setting_find(struct bytes name);

/* Appends its value as CONFIG GET shows it. */
void setting_show(const struct setting *s, const struct command_admin *admin, struct buf *out);

/*
 * Whether CONFIG SET may give it this value; *out_value is then what setting_apply wants. If not,
 * problem says why.
 */
bool setting_accepts(const struct setting *s,
                     const struct command_admin *admin,
                     struct bytes text,
                     int64_t *out_value,
                     char problem[SETTING_PROBLEM_BYTES]);
/* Of a live one the value is set; others have it already. */
void setting_apply(const struct setting *s, const struct command_admin *admin, int64_t value);

#endif
