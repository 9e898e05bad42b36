/*
 * Transcripts of the protocol: each file of tests/transcripts is played against real coordinators
 * and real shards, and what happens has to be word for word what it says. README there: the format.
 */
#include <dirent.h>

#include "base/assert.h"
#include "whole_session.h"

#define SESSIONS_MAX 8u
#define LINE_BYTES 512u
#define NAME_BYTES 16u
#define DIRECTORY TESTS_DIR "/transcripts"

struct stage {
    struct world world;
    struct session sessions[SESSIONS_MAX];
    char names[SESSIONS_MAX][NAME_BYTES];
    size_t session_count;
};

static unsigned the_played;

/* ---- directives ------------------------------------------------------------------------------ */

static struct session *find_session(struct stage *s, const char *name)
{
    for (size_t i = 0; i < s->session_count; i++) {
        if (strcmp(s->names[i], name) == 0) {
            return &s->sessions[i];
        }
    }
    return NULL;
}

/* "NAME at GATEWAY" the first time, then "NAME". */
static struct session *session_named(struct stage *s, char *who)
{
    char *at = strstr(who, " at ");
    if (at == NULL) {
        return find_session(s, who);
    }
    *at = '\0';
    CHECK(s->session_count < SESSIONS_MAX && strlen(who) < NAME_BYTES);
    size_t i = s->session_count++;
    (void)snprintf(s->names[i], NAME_BYTES, "%s", who);
    session_init(&s->sessions[i], &s->world, s->names[i], (uint32_t)(at[4] - '0'));
    return &s->sessions[i];
}

static struct message *message_named(struct stage *s, const char *number)
{
    size_t i = strtoull(number, NULL, 10);
    CHECK(i > 0 && i <= s->world.message_count);
    struct message *m = s->world.messages[i - 1];
    CHECK_EQ(m->state, MESSAGE_AWAY);
    return m;
}

static struct group *group_named(struct stage *s, const char *name)
{
    CHECK(name[0] == 'g' && name[1] > '0' && name[1] <= '0' + (char)GROUPS);
    return &s->world.groups[name[1] - '0'];
}

static void deliver_all(struct stage *s)
{
    struct message *m = NULL;
    while ((m = first_away(&s->world)) != NULL) {
        deliver(m);
    }
}

static void deliver_some(struct stage *s, char *numbers)
{
    if (strcmp(numbers, "all") == 0) {
        deliver_all(s);
        return;
    }
    for (char *one = strtok_r(numbers, " ", &numbers); one != NULL;
         one = strtok_r(NULL, " ", &numbers)) {
        deliver(message_named(s, one));
    }
}

/* The same words again, under another request id: so that it is not DUP which answers. */
static void deliver_copy(struct stage *s, const char *number)
{
    struct world *w = &s->world;
    size_t i = strtoull(number, NULL, 10);
    CHECK(i > 0 && i <= w->message_count && w->message_count < MESSAGES_MAX);
    struct message *m = mem_alloc_zero(sizeof *m);
    w->messages[w->message_count++] = m;
    m->number = (unsigned)w->message_count;
    m->gateway = w->messages[i - 1]->gateway;
    m->group = w->messages[i - 1]->group;
    m->world = w;
    buf_init(&m->bytes, SIZE_MAX / 2);
    buf_init(&m->reply, SIZE_MAX / 2);
    buf_append_bytes(&m->bytes, buf_bytes(&w->messages[i - 1]->bytes));
    entry_stamp(&m->bytes, ++w->gateways[m->gateway].sequences[m->group->number], 0);
    fake_env_note(&w->env, "#%u is #%zu again", m->number, i);
    deliver(m);
}

/* What the group has, as its leader's replica shows it. */
static void look(struct group *g)
{
    struct shard_txn_counts counts = shard_txn_counts(g->shard);
    const struct router *router = &g->world->gateways[LEADER].router;
    struct buf line;
    struct buf value;
    buf_init(&line, SIZE_MAX / 2);
    buf_printf(&line, "g%u has", g->number);
    for (char letter = 'a'; letter <= 'p'; letter++) {
        struct bytes key = bytes_of(&letter, 1);
        buf_init(&value, SIZE_MAX / 2);
        if (router_group_of_slot(router, slot_of_key(key)) == g->number &&
            shard_peek(g->shard, 0, key, &value)) {
            buf_printf(&line, " %c=", letter);
            buf_append_bytes(&line, buf_bytes(&value));
        }
        buf_deinit(&value);
    }
    buf_printf(&line, ", prepared %" PRIu64 ", records %" PRIu64, counts.prepared, counts.records);
    note_buf(g->world, &line);
}

static void time_out(struct stage *s, const char *number)
{
    tell_unknown(message_named(s, number));
    pump(&s->world);
}

static void refuse(struct stage *s, const char *number)
{
    struct message *m = message_named(s, number);
    m->state = MESSAGE_GONE;
    tell(m, ROUTER_REFUSED, bytes_of_text("-CLUSTERDOWN no leader\r\n"));
    pump(&s->world);
}

static void arrive(struct stage *s, const char *number)
{
    struct message *m = message_named(s, number);
    message_arrive(m);
    group_propose(m->group);
    pump(&s->world);
}

static void deliver_unheard(struct stage *s, const char *number)
{
    struct message *m = message_named(s, number);
    m->is_answer_lost = true;
    deliver(m);
}

static void apply(struct stage *s, const char *name)
{
    group_apply(group_named(s, name));
    pump(&s->world);
}

/* The text behind the word, or NULL: the line begins with something else. */
static char *after(char *line, const char *word)
{
    size_t size = strlen(word);
    return strncmp(line, word, size) == 0 ? line + size : NULL;
}

static void direct(struct stage *s, char *line)
{
    struct world *w = &s->world;
    char *rest = NULL;
    char *colon = strstr(line, ": ");
    if ((rest = after(line, "new leader without tail ")) != NULL) {
        group_change_leader(group_named(s, rest), false);
    } else if (colon != NULL) {
        *colon = '\0';
        struct session *session = session_named(s, line);
        CHECK(session != NULL);
        session_say(session, colon + 2);
    } else if ((rest = after(line, "deliver ")) != NULL) {
        deliver_some(s, rest);
    } else if ((rest = after(line, "deliver, answer lost, ")) != NULL) {
        deliver_unheard(s, rest);
    } else if ((rest = after(line, "copy ")) != NULL) {
        deliver_copy(s, rest);
    } else if ((rest = after(line, "arrive ")) != NULL) {
        arrive(s, rest);
    } else if ((rest = after(line, "apply ")) != NULL) {
        apply(s, rest);
    } else if ((rest = after(line, "time out ")) != NULL) {
        time_out(s, rest);
    } else if ((rest = after(line, "refuse ")) != NULL) {
        refuse(s, rest);
    } else if ((rest = after(line, "pass ")) != NULL) {
        world_pass(w, strtoull(rest, NULL, 10));
    } else if ((rest = after(line, "kill gateway ")) != NULL) {
        gateway_kill(w, (uint32_t)(rest[0] - '0'));
    } else if ((rest = after(line, "start gateway ")) != NULL) {
        gateway_start(w, (uint32_t)(rest[0] - '0'));
    } else if ((rest = after(line, "new leader ")) != NULL) {
        group_change_leader(group_named(s, rest), true);
    } else if ((rest = after(line, "restart ")) != NULL) {
        group_restart(group_named(s, rest), false);
    } else if ((rest = after(line, "fold and restart ")) != NULL) {
        group_restart(group_named(s, rest), true);
    } else if ((rest = after(line, "look ")) != NULL) {
        look(group_named(s, rest));
    } else {
        (void)printf("    what is: %s\n", line);
        CHECK(false);
    }
}

/* ---- files ----------------------------------------------------------------------------------- */

static void read_whole(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "r");
    char piece[LINE_BYTES];
    size_t size = 0;
    buf_init(out, SIZE_MAX / 2);
    CHECK(file != NULL);
    while ((size = fread(piece, 1, sizeof piece, file)) > 0) {
        buf_append(out, piece, size);
    }
    (void)fclose(file);
    buf_append(out, "", 1);
}

/* The events since the last call, indented. */
static void append_events(struct world *w, struct buf *out)
{
    const char *text = fake_env_events(&w->env);
    while (*text != '\0') {
        size_t size = strcspn(text, "\n");
        buf_append_text(out, "  ");
        buf_append(out, text, size);
        buf_append_text(out, "\n");
        text += size + (text[size] == '\n');
    }
    fake_env_forget(&w->env);
    if (w->env.base.is_halted) {
        buf_printf(out, "  halted: %s\n", w->env.halt_reason);
    }
}

/* Writes the transcript again: what was said as it is, what happened as it happens now. */
static void perform(char *script, struct buf *out)
{
    struct stage *s = mem_alloc_zero(sizeof *s);
    world_start(&s->world, true);
    while (*script != '\0') {
        char *line = script;
        script += strcspn(script, "\n");
        if (*script != '\0') {
            *script++ = '\0';
        }
        if (strncmp(line, "  ", 2) == 0) {
            continue;
        }
        buf_append_text(out, line);
        buf_append_text(out, "\n");
        if (strncmp(line, "> ", 2) == 0) {
            direct(s, line + 2);
            append_events(&s->world, out);
        }
    }
    for (size_t i = 0; i < s->session_count; i++) {
        session_deinit(&s->sessions[i]);
    }
    world_stop(&s->world);
    mem_free(s);
}

/* Else it prints where they differ, and how. */
static bool is_same(const char *name, const char *wanted, const char *got)
{
    unsigned line = 1;
    const char *start = got;
    const char *wanted_start = wanted;
    for (; *wanted == *got && *wanted != '\0'; wanted++, got++) {
        if (*got == '\n') {
            line++;
            start = got + 1;
            wanted_start = wanted + 1;
        }
    }
    if (*wanted != *got) {
        (void)printf("    %s.txt:%u\n    wanted %.*s\n    got    %.*s\n",
                     name,
                     line,
                     (int)strcspn(wanted_start, "\n"),
                     wanted_start,
                     (int)strcspn(start, "\n"),
                     start);
    }
    return *wanted == *got;
}

static void write_again(const char *path, struct bytes text)
{
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    CHECK_EQ(fwrite(text.data, 1, text.size, file), text.size);
    CHECK_EQ(fclose(file), 0);
}

static void play(const char *name)
{
    char path[1024];
    struct buf wanted;
    struct buf script;
    struct buf got;
    bool is_as_wanted = true;
    the_played++;
    (void)snprintf(path, sizeof path, DIRECTORY "/%s.txt", name);
    read_whole(path, &wanted);
    read_whole(path, &script);
    buf_init(&got, SIZE_MAX / 2);
    perform((char *)script.data, &got);
    if (getenv("TRANSCRIPTS_WRITE") != NULL) {
        write_again(path, buf_bytes(&got));
    } else {
        buf_append(&got, "", 1);
        is_as_wanted = is_same(name, (const char *)wanted.data, (const char *)got.data);
    }
    buf_deinit(&wanted);
    buf_deinit(&script);
    buf_deinit(&got);
    CHECK(is_as_wanted);
}

/* clang-format off */
#define TRANSCRIPT(name) TEST(name) { play(#name); }
/* clang-format on */

TRANSCRIPT(both_say_yes)
TRANSCRIPT(one_group_alone)
TRANSCRIPT(conflict)
TRANSCRIPT(ordered)
TRANSCRIPT(watched_key_changed)
TRANSCRIPT(strict_error)
TRANSCRIPT(two_looks)
TRANSCRIPT(at_the_gateway)
TRANSCRIPT(reads_and_writes_wait)
TRANSCRIPT(late_prepare)
TRANSCRIPT(copies_change_nothing)
TRANSCRIPT(gateway_dies_before_votes)
TRANSCRIPT(gateway_dies_after_votes)
TRANSCRIPT(leader_changes)
TRANSCRIPT(prepared_survives_restart)
TRANSCRIPT(marks)
TRANSCRIPT(answers_lost)
TRANSCRIPT(new_leader_waits)
TRANSCRIPT(expiry_waits)
TRANSCRIPT(prepare_yields)
TRANSCRIPT(looks_end_in_votes)
TRANSCRIPT(closed_incarnation)
TRANSCRIPT(cut_commands)
TRANSCRIPT(outcome_is_repeated)
TRANSCRIPT(refused_part)
TRANSCRIPT(live_coordinator)
TRANSCRIPT(absent_in_between)
TRANSCRIPT(tail_locks)

/* A file that nobody plays is found. */
TEST(all_files_are_played)
{
    DIR *directory = opendir(DIRECTORY);
    unsigned files = 0;
    CHECK(directory != NULL);
    for (struct dirent *entry = NULL; (entry = readdir(directory)) != NULL;) {
        size_t size = strlen(entry->d_name);
        files += size > 4 && strcmp(entry->d_name + size - 4, ".txt") == 0;
    }
    (void)closedir(directory);
    CHECK(files == the_played || the_played == 0); /* 0: one test by hand */
}
