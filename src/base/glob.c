#include "base/glob.h"

struct matcher {
    struct bytes pattern;
    bool is_nocase;
};

static uint8_t fold(const struct matcher *m, uint8_t byte)
{
    bool is_upper = byte >= 'A' && byte <= 'Z';
    return m->is_nocase && is_upper ? (uint8_t)(byte + ('a' - 'A')) : byte;
}

/* As Redis compares them where char is signed. */
static bool is_between(uint8_t byte, uint8_t a, uint8_t b)
{
    int8_t low = (int8_t)a;
    int8_t high = (int8_t)b;
    int8_t value = (int8_t)byte;
    return low <= high ? low <= value && value <= high : high <= value && value <= low;
}

/* The set whose inside begins at *at, which is moved behind its end. */
static bool is_in_set(const struct matcher *m, size_t *at, uint8_t byte)
{
    const uint8_t *p = m->pattern.data;
    size_t end = m->pattern.size;
    size_t i = *at;
    bool is_negated = i < end && p[i] == '^';
    bool is_found = false;
    i += is_negated ? 1 : 0;
    while (i < end && p[i] != ']') {
        if (p[i] == '\\' && end - i >= 2) {
            is_found |= p[i + 1] == byte; /* with its case, also without case: as Redis */
            i += 2;
        } else if (end - i >= 3 && p[i + 1] == '-') {
            is_found |= is_between(fold(m, byte), fold(m, p[i]), fold(m, p[i + 2]));
            i += 3;
        } else {
            is_found |= fold(m, p[i]) == fold(m, byte);
            i++;
        }
    }
    *at = i < end ? i + 1 : i;
    return is_found != is_negated;
}

/* One byte against what stands at *at, not a star; moves *at behind it. */
static bool is_match(const struct matcher *m, size_t *at, uint8_t byte)
{
    const uint8_t *p = m->pattern.data;
    uint8_t first = p[(*at)++];
    if (first == '?') {
        return true;
    }
    if (first == '[') {
        return is_in_set(m, at, byte);
    }
    if (first == '\\' && *at < m->pattern.size) {
        first = p[(*at)++];
    }
    return fold(m, first) == fold(m, byte);
}

static bool is_star(const struct matcher *m, size_t at)
{
    return at < m->pattern.size && m->pattern.data[at] == '*';
}

/*
 * Only the last star passed is ever tried again, one byte further: what an earlier one took was the
 * least possible, and taking more could not help those behind it.
 */
static bool matches(const struct matcher *m, struct bytes text)
{
    size_t at = 0;
    size_t i = 0;
    size_t star_at = SIZE_MAX; /* behind the last star; SIZE_MAX: none so far */
    size_t star_i = 0;         /* where what it takes ends */
    while (i < text.size) {
        if (is_star(m, at)) {
            star_at = ++at;
            star_i = i;
            continue;
        }
        if (at < m->pattern.size && is_match(m, &at, text.data[i])) {
            i++;
            continue;
        }
        if (star_at == SIZE_MAX) {
            return false;
        }
        at = star_at;
        i = ++star_i;
    }
    while (text.size > 0 && is_star(m, at)) {
        at++;
    }
    return at == m->pattern.size;
}

bool glob_matches(struct bytes pattern, struct bytes text)
{
    const struct matcher m = {.pattern = pattern};
    return matches(&m, text);
}

bool glob_matches_nocase(struct bytes pattern, struct bytes text)
{
    const struct matcher m = {.pattern = pattern, .is_nocase = true};
    return matches(&m, text);
}
