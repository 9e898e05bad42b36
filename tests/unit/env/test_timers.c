#include "env/timers.h"
#include "harness.h"

#define COUNT 5

static struct timers timers;
static struct env_timer timer[COUNT];
static char fired[64]; /* the timers' digits in the order of their calls */
static void (*also)(struct env_timer *t);

static void timer_cb(struct env_timer *t)
{
    size_t length = strlen(fired);
    fired[length] = (char)('0' + (t - timer));
    fired[length + 1] = '\0';
    if (also != NULL) {
        also(t);
    }
}

static void begin(void)
{
    timers_init(&timers);
    for (int i = 0; i < COUNT; i++) {
        timer[i] = (struct env_timer){.cb = timer_cb};
    }
    memset(fired, 0, sizeof fired);
    also = NULL;
}

TEST(none)
{
    begin();
    CHECK_EQ(timers_next_due_us(&timers), UINT64_MAX);
    timers_fire(&timers, UINT64_MAX);
    CHECK_TEXT(fired, "");
}

TEST(in_order_of_time_then_of_start)
{
    begin();
    timers_start(&timers, &timer[0], 30);
    timers_start(&timers, &timer[1], 10);
    timers_start(&timers, &timer[2], 20);
    timers_start(&timers, &timer[3], 10);
    timers_start(&timers, &timer[4], 20);
    CHECK_EQ(timers_next_due_us(&timers), 10);
    timers_fire(&timers, 9);
    CHECK_TEXT(fired, "");
    timers_fire(&timers, 20);
    CHECK_TEXT(fired, "1324");
    CHECK_EQ(timers_next_due_us(&timers), 30);
    timers_fire(&timers, 1000);
    CHECK_TEXT(fired, "13240");
    CHECK_EQ(timers_next_due_us(&timers), UINT64_MAX);
}

TEST(stop_is_idempotent)
{
    begin();
    timers_stop(&timers, &timer[0]);
    timers_start(&timers, &timer[0], 10);
    timers_start(&timers, &timer[1], 10);
    timers_stop(&timers, &timer[0]);
    timers_stop(&timers, &timer[0]);
    timers_fire(&timers, 10);
    CHECK_TEXT(fired, "1");
}

TEST(start_again_moves)
{
    begin();
    timers_start(&timers, &timer[0], 10);
    timers_start(&timers, &timer[1], 10);
    timers_start(&timers, &timer[0], 10); /* now behind 1 */
    timers_fire(&timers, 10);
    CHECK_TEXT(fired, "10");
    timers_start(&timers, &timer[0], 20);
    timers_start(&timers, &timer[0], 50);
    timers_fire(&timers, 40);
    CHECK_TEXT(fired, "10");
    timers_fire(&timers, 50);
    CHECK_TEXT(fired, "100");
}

static void start_itself_now(struct env_timer *t)
{
    timers_start(&timers, t, 0);
}

TEST(started_inside_a_callback_waits_for_the_next_call)
{
    begin();
    also = start_itself_now;
    timers_start(&timers, &timer[0], 10);
    timers_start(&timers, &timer[1], 10);
    timers_fire(&timers, 10);
    CHECK_TEXT(fired, "01");
    timers_fire(&timers, 10);
    CHECK_TEXT(fired, "0101");
}

static void stop_the_others(struct env_timer *t)
{
    for (int i = 0; i < COUNT; i++) {
        if (&timer[i] != t) {
            timers_stop(&timers, &timer[i]);
        }
    }
}

TEST(stopped_inside_a_callback_does_not_fire)
{
    begin();
    also = stop_the_others;
    for (int i = 0; i < COUNT; i++) {
        timers_start(&timers, &timer[i], 10);
    }
    timers_fire(&timers, 10);
    CHECK_TEXT(fired, "0");
    CHECK_EQ(timers_next_due_us(&timers), UINT64_MAX);
}
