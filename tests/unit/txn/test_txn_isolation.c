/*
 * Isolation specs (tests/isolation/specs.txt) on real coordinators and real shards: the sessions
 * run at once, and the messages of their transactions arrive in every order, as far as there is
 * time for it, and then in orders by chance, where entries also stand in logs for a while before
 * they apply, and coordinators do not hear everything.
 *
 * What is right is what the same steps do one after the other: whatever the sessions are answered,
 * there has to be an order of their steps, in which no step stands before one that was answered
 * before it began, that gives all the same answers and the same end (strict serializability).
 */
#include "base/assert.h"
#include "base/prng.h"
#include "whole_session.h"

#define SPECS_MAX 64u
#define SESSIONS_MAX 4u
#define STEPS_MAX 6u
#define STEPS_ALL (SESSIONS_MAX * STEPS_MAX)
#define ENDS_MAX 8u
#define ORDERS_MAX 2000u
#define CHOICES_MAX 256u
#define EVENTS_MAX 8000u
#define TEXT_BYTES 200u
#define LOSSES 8u
#define CLIENT_GATEWAYS 2u

/*
 * Runs of one spec in one placement: every order until it is so many, then so many by chance.
 * ISOLATION_RUNS in the environment: another number for both; by hand, with time.
 */
#define RUNS_EVERY 40u
#define RUNS_CHANCE 50u

struct spec_session {
    char steps[STEPS_MAX][TEXT_BYTES];
    size_t step_count;
};

struct spec {
    char name[TEXT_BYTES];
    char given[TEXT_BYTES];
    struct spec_session sessions[SESSIONS_MAX];
    size_t session_count;
    char end[TEXT_BYTES];
    char ends[ENDS_MAX][TEXT_BYTES];
    size_t end_count;
};

/* What x, y and z are called: by the groups they lie in. */
struct placement {
    const char *name;
    char keys[3];
};

static const struct placement placements[] = {
    {"one group", {'b', 'f', 'j'}},
    {"two groups", {'b', 'c', 'f'}},
    {"three groups", {'b', 'c', 'd'}},
};

/* ---- specs ----------------------------------------------------------------------------------- */

static char *trim(char *text)
{
    while (*text == ' ') {
        text++;
    }
    for (size_t size = strlen(text); size > 0 && text[size - 1] == ' ';) {
        text[--size] = '\0';
    }
    return text;
}

static void copy_text(char *out, const char *text)
{
    CHECK(strlen(text) < TEXT_BYTES);
    (void)snprintf(out, TEXT_BYTES, "%s", text);
}

static void read_steps(struct spec_session *session, char *text)
{
    for (char *one = strtok_r(text, "|", &text); one != NULL; one = strtok_r(NULL, "|", &text)) {
        CHECK(session->step_count < STEPS_MAX);
        copy_text(session->steps[session->step_count++], trim(one));
    }
}

static void read_ends(struct spec *spec, char *text)
{
    char *equals = strstr(text, " = ");
    CHECK(equals != NULL);
    *equals = '\0';
    copy_text(spec->end, trim(text));
    char *rest = equals + 3;
    for (char *one = strtok_r(rest, "/", &rest); one != NULL; one = strtok_r(NULL, "/", &rest)) {
        CHECK(spec->end_count < ENDS_MAX);
        copy_text(spec->ends[spec->end_count++], trim(one));
    }
}

static void read_spec_line(struct spec *spec, char *line)
{
    char *rest = strchr(line, ' ');
    if (spec->name[0] == '\0') {
        copy_text(spec->name, line);
        return;
    }
    CHECK(rest != NULL);
    *rest = '\0';
    rest = trim(rest + 1);
    if (strcmp(line, "given") == 0) {
        copy_text(spec->given, rest);
    } else if (strcmp(line, "ends") == 0) {
        read_ends(spec, rest);
    } else if (strcmp(line, "apart") != 0) {
        CHECK(spec->session_count < SESSIONS_MAX && strlen(line) == 1);
        read_steps(&spec->sessions[spec->session_count++], rest);
    }
}

static size_t read_specs(struct spec *specs)
{
    FILE *file = fopen(TESTS_DIR "/isolation/specs.txt", "r");
    char line[512];
    size_t count = 0;
    bool is_inside = false;
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '#') {
            continue;
        }
        if (line[0] == '\0') {
            is_inside = false;
            continue;
        }
        if (!is_inside) {
            CHECK(count < SPECS_MAX);
            count++;
        }
        is_inside = true;
        read_spec_line(&specs[count - 1], line);
    }
    (void)fclose(file);
    return count;
}

/* Words x, y and z become the placement's keys. */
static void place_keys(const struct placement *placement, const char *text, char *out)
{
    char before = '\0';
    for (; *text != '\0'; before = *text++) {
        bool is_word = before == ' ' && strchr(" ;", text[1]) != NULL; /* or the last */
        bool is_key = *text >= 'x' && *text <= 'z' && is_word;
        *out++ = is_key ? placement->keys[*text - 'x'] : *text;
    }
    *out = '\0';
}

/* ---- one run --------------------------------------------------------------------------------- */

/* When a step was sent, and when it was answered. */
struct span {
    uint64_t begin;
    uint64_t end;
};

struct run {
    const struct spec *spec;
    const struct placement *placement;
    struct world world;
    struct session sessions[SESSIONS_MAX + 1]; /* the last one looks at the end */
    size_t started[SESSIONS_MAX];
    size_t answered[SESSIONS_MAX];
    char answers[SESSIONS_MAX][STEPS_MAX][TEXT_BYTES];
    struct span spans[SESSIONS_MAX][STEPS_MAX];
    char end[TEXT_BYTES];
    uint64_t clock;
};

static const char *const session_names[] = {"a", "b", "c", "d", "end"};

static void say(struct run *run, struct session *s, const char *text)
{
    char placed[TEXT_BYTES];
    place_keys(run->placement, text, placed);
    session_say(s, placed);
}

static void settle(struct run *run, struct session *s)
{
    for (unsigned i = 0; !session_is_idle(s); i++) {
        struct message *m = first_away(&run->world);
        CHECK(i < EVENTS_MAX);
        if (m != NULL) {
            deliver(m);
        } else {
            world_pass(&run->world, 1);
        }
    }
}

static void run_start(struct run *run, const struct spec *spec, const struct placement *placement)
{
    memset(run, 0, sizeof *run);
    run->spec = spec;
    run->placement = placement;
    world_start(&run->world, false);
    run->world.is_ready = true;
    for (uint32_t i = 0; i <= SESSIONS_MAX; i++) {
        uint32_t gateway = 1 + i % CLIENT_GATEWAYS;
        const char *name = i < SESSIONS_MAX ? session_names[i] : "end";
        session_init(&run->sessions[i], &run->world, name, gateway);
    }
    if (spec->given[0] != '\0') {
        say(run, &run->sessions[SESSIONS_MAX], spec->given);
        settle(run, &run->sessions[SESSIONS_MAX]);
    }
    while (first_away(&run->world) != NULL) {
        deliver(first_away(&run->world));
    }
}

static void run_stop(struct run *run)
{
    for (size_t i = 0; i <= SESSIONS_MAX; i++) {
        session_deinit(&run->sessions[i]);
    }
    world_stop(&run->world);
}

/* Steps that were answered by the last event. */
static void note_answers(struct run *run)
{
    for (size_t i = 0; i < run->spec->session_count; i++) {
        if (run->answered[i] < run->started[i] && session_is_idle(&run->sessions[i])) {
            size_t step = run->answered[i]++;
            copy_text(run->answers[i][step], session_answers(&run->sessions[i]));
            run->spans[i][step].end = ++run->clock;
        }
    }
}

static void begin_step(struct run *run, size_t session)
{
    size_t step = run->started[session]++;
    run->spans[session][step].begin = ++run->clock;
    say(run, &run->sessions[session], run->spec->sessions[session].steps[step]);
    note_answers(run);
}

static bool may_begin(const struct run *run, size_t session)
{
    return run->answered[session] == run->started[session] &&
           run->started[session] < run->spec->sessions[session].step_count;
}

static bool is_over(const struct run *run)
{
    for (size_t i = 0; i < run->spec->session_count; i++) {
        if (run->answered[i] < run->spec->sessions[i].step_count) {
            return false;
        }
    }
    return true;
}

/* Everything arrives; then nothing is locked, and the end is read. */
static void finish(struct run *run)
{
    struct world *w = &run->world;
    for (uint32_t g = 1; g <= GROUPS; g++) {
        group_apply(&w->groups[g]);
    }
    pump(w);
    for (struct message *m = NULL; (m = first_away(w)) != NULL;) {
        deliver(m);
    }
    for (uint32_t g = 1; g <= GROUPS; g++) {
        CHECK_EQ(shard_txn_counts(w->groups[g].shard).prepared, 0u);
    }
    say(run, &run->sessions[SESSIONS_MAX], run->spec->end);
    settle(run, &run->sessions[SESSIONS_MAX]);
    /* Without the outer brackets. */
    const char *text = session_answers(&run->sessions[SESSIONS_MAX]);
    size_t size = strlen(text);
    bool is_array = text[0] == '[';
    CHECK(size < TEXT_BYTES);
    (void)snprintf(run->end, TEXT_BYTES, "%.*s", (int)(size - (is_array ? 2 : 0)), text + is_array);
}

/* ---- one after the other --------------------------------------------------------------------- */

/* Orders of steps, as a session for each, and all that was answered in them. */
struct orders {
    size_t count;
    size_t steps;
    struct {
        uint8_t order[STEPS_ALL];
        char answers[SESSIONS_MAX][STEPS_MAX][TEXT_BYTES];
        char end[TEXT_BYTES];
    } list[ORDERS_MAX];
};

static bool is_an_end(const struct spec *spec, const char *end)
{
    for (size_t i = 0; i < spec->end_count; i++) {
        if (strcmp(spec->ends[i], end) == 0) {
            return true;
        }
    }
    return false;
}

static void play_order(struct orders *orders,
                       struct run *run,
                       const struct spec *spec,
                       const struct placement *placement,
                       const uint8_t *order)
{
    CHECK(orders->count < ORDERS_MAX);
    run_start(run, spec, placement);
    for (size_t i = 0; i < orders->steps; i++) {
        begin_step(run, order[i]);
        settle(run, &run->sessions[order[i]]);
        note_answers(run);
    }
    finish(run);
    if (!is_an_end(spec, run->end)) {
        (void)printf("    %s, one after the other: ends with %s\n", spec->name, run->end);
    }
    CHECK(is_an_end(spec, run->end));
    size_t n = orders->count++;
    memcpy(orders->list[n].order, order, orders->steps);
    memcpy(orders->list[n].answers, run->answers, sizeof run->answers);
    copy_text(orders->list[n].end, run->end);
    run_stop(run);
}

static void each_order(struct orders *orders,
                       struct run *run,
                       const struct spec *spec,
                       const struct placement *placement,
                       uint8_t *order,
                       size_t done)
{
    if (done == orders->steps) {
        play_order(orders, run, spec, placement, order);
        return;
    }
    for (size_t s = 0; s < spec->session_count; s++) {
        size_t used = 0;
        for (size_t i = 0; i < done; i++) {
            used += order[i] == s;
        }
        if (used < spec->sessions[s].step_count) {
            order[done] = (uint8_t)s;
            each_order(orders, run, spec, placement, order, done + 1);
        }
    }
}

/* ---- all at once ----------------------------------------------------------------------------- */

/* What is chosen at each point where there is a choice: the list of a depth-first search. */
struct schedule {
    unsigned chosen[EVENTS_MAX];
    unsigned count[EVENTS_MAX];
    size_t depth;
    size_t at;
    struct prng *prng; /* NULL: every order */
    bool is_split;     /* entries stand in the log for a while before they apply */
    bool is_lossy;     /* the router gives up on messages, which arrive all the same, or later */
};

static unsigned choose(struct schedule *s, unsigned count)
{
    CHECK(s->at < EVENTS_MAX);
    if (s->at == s->depth) {
        s->chosen[s->at] = s->prng != NULL ? (unsigned)prng_below(s->prng, count) : 0;
        s->count[s->at] = count;
        s->depth++;
    }
    CHECK_EQ(s->count[s->at], count); /* a world does the same again */
    return s->chosen[s->at++];
}

/* False: that was the last one. */
static bool next_schedule(struct schedule *s)
{
    while (s->depth > 0 && s->chosen[s->depth - 1] + 1 == s->count[s->depth - 1]) {
        s->depth--;
    }
    if (s->depth == 0) {
        return false;
    }
    s->chosen[s->depth - 1]++;
    return true;
}

/* What may happen next. */
struct option {
    struct message *message; /* arrives; or */
    struct group *group;     /* applies its log; or */
    size_t session;          /* begins its next step */
};

static unsigned options_of(struct run *run, bool is_split, struct option *out)
{
    struct world *w = &run->world;
    unsigned count = 0;
    for (size_t i = 0; i < run->spec->session_count; i++) {
        if (may_begin(run, i)) {
            out[count++] = (struct option){.session = i};
        }
    }
    for (uint32_t g = 1; is_split && g <= GROUPS; g++) {
        if (group_is_busy(&w->groups[g])) {
            out[count++] = (struct option){.group = &w->groups[g]};
        }
    }
    for (size_t i = 0; i < w->message_count; i++) {
        if (w->messages[i]->state == MESSAGE_AWAY) {
            CHECK(count < CHOICES_MAX);
            out[count++] = (struct option){.message = w->messages[i]};
        }
    }
    return count;
}

/* Of those a coordinator asks about, or says again: clients hear nothing of it. */
static bool may_be_lost(const struct message *m)
{
    uint16_t command = m->request != NULL ? (uint16_t)m->request->command->id : 0;
    return command == COMMAND_ID_TXNPREPARE || command == COMMAND_ID_TXNCHECK ||
           command == COMMAND_ID_TXNCOMMIT || command == COMMAND_ID_TXNABORT;
}

/* One of LOSSES is given up before it arrives, another one after it. */
static void happen(struct run *run, struct schedule *s, const struct option *o)
{
    unsigned loss = LOSSES;
    if (o->message != NULL && s->is_lossy && may_be_lost(o->message)) {
        loss = choose(s, LOSSES);
        o->message->is_answer_lost = loss == 1;
    }
    if (loss == 0) {
        tell_unknown(o->message);
        pump(&run->world);
    } else if (o->message != NULL && s->is_split) {
        message_arrive(o->message);
        group_propose(o->message->group);
        pump(&run->world);
    } else if (o->message != NULL) {
        deliver(o->message);
    } else if (o->group != NULL) {
        group_apply(o->group);
        pump(&run->world);
    } else {
        begin_step(run, o->session);
    }
    note_answers(run);
}

static void play_schedule(struct run *run, struct schedule *s)
{
    struct option options[CHOICES_MAX];
    s->at = 0;
    for (unsigned i = 0; !is_over(run); i++) {
        CHECK(i < EVENTS_MAX);
        unsigned count = options_of(run, s->is_split, options);
        if (count == 0) {
            world_pass(&run->world, 1);
        } else {
            happen(run, s, &options[choose(s, count)]);
        }
    }
    finish(run);
}

/* No step stands before one that was answered before it began. */
static bool keeps_time(const struct run *run, const uint8_t *order, size_t steps)
{
    size_t done[SESSIONS_MAX] = {0};
    uint64_t latest_begin = 0;
    for (size_t i = 0; i < steps; i++) {
        const struct span *span = &run->spans[order[i]][done[order[i]]++];
        if (span->end < latest_begin) {
            return false;
        }
        latest_begin = span->begin > latest_begin ? span->begin : latest_begin;
    }
    return true;
}

static bool is_serializable(const struct run *run, const struct orders *orders)
{
    for (size_t i = 0; i < orders->count; i++) {
        if (memcmp(orders->list[i].answers, run->answers, sizeof run->answers) == 0 &&
            strcmp(orders->list[i].end, run->end) == 0 &&
            keeps_time(run, orders->list[i].order, orders->steps)) {
            return true;
        }
    }
    return false;
}

static void check_run(struct run *run, const struct orders *orders)
{
    bool is_good = is_serializable(run, orders);
    if (!is_good) {
        (void)printf("    %s, keys in %s: ends with %s; no order explains\n%s",
                     run->spec->name,
                     run->placement->name,
                     run->end,
                     fake_env_events(&run->world.env));
    }
    CHECK(is_good);
}

struct tally {
    unsigned specs;
    unsigned complete; /* every order was played */
    unsigned runs;
};

static unsigned runs_or(unsigned usual)
{
    const char *wanted = getenv("ISOLATION_RUNS");
    return wanted != NULL ? (unsigned)strtoul(wanted, NULL, 10) : usual;
}

static void play_spec(const struct spec *spec, const struct placement *p, struct tally *tally)
{
    struct orders *orders = mem_alloc_zero(sizeof *orders);
    struct run *run = mem_alloc_zero(sizeof *run);
    struct schedule *schedule = mem_alloc_zero(sizeof *schedule);
    struct prng prng;
    uint8_t order[STEPS_ALL];
    unsigned runs = 0;
    bool is_next = true;
    for (size_t i = 0; i < spec->session_count; i++) {
        orders->steps += spec->sessions[i].step_count;
    }
    each_order(orders, run, spec, p, order, 0);
    for (; is_next && runs < runs_or(RUNS_EVERY); runs++) {
        run_start(run, spec, p);
        play_schedule(run, schedule);
        check_run(run, orders);
        run_stop(run);
        is_next = next_schedule(schedule);
    }
    prng_init(&prng, 1);
    schedule->prng = &prng;
    for (unsigned i = 0; i < runs_or(RUNS_CHANCE); i++, runs++) {
        schedule->depth = 0;
        schedule->is_split = i % 3 > 0;
        schedule->is_lossy = i % 3 > 1;
        run_start(run, spec, p);
        play_schedule(run, schedule);
        check_run(run, orders);
        run_stop(run);
    }
    tally->specs++;
    tally->complete += !is_next;
    tally->runs += runs;
    mem_free(orders);
    mem_free(run);
    mem_free(schedule);
}

static void play_all(size_t placement)
{
    struct spec *specs = mem_alloc_zero(SPECS_MAX * sizeof *specs);
    struct tally tally = {0};
    size_t count = read_specs(specs);
    CHECK(count > 20);
    for (size_t i = 0; i < count; i++) {
        play_spec(&specs[i], &placements[placement], &tally);
    }
    (void)printf("    %u specs, %u of them in every order; %u runs\n",
                 tally.specs,
                 tally.complete,
                 tally.runs);
    CHECK(tally.runs >= count * runs_or(RUNS_CHANCE));
    mem_free(specs);
}

TEST(keys_in_one_group)
{
    play_all(0);
}

TEST(keys_in_two_groups)
{
    play_all(1);
}

TEST(keys_in_three_groups)
{
    play_all(2);
}
