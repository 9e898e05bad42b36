#include "base/list.h"
#include "harness.h"

struct item {
    int number;
    struct list link;
};

static struct item items[4];
static struct list head;

static void fill(int count)
{
    list_init(&head);
    for (int i = 0; i < count; i++) {
        items[i].number = i;
        list_init(&items[i].link);
        list_append(&head, &items[i].link);
    }
}

/* The numbers of l in order, as decimal digits after a leading 1. */
static int digits(const struct list *l)
{
    int result = 1;
    list_each(at, l) {
        result = result * 10 + container_of(at, struct item, link)->number;
    }
    return result;
}

TEST(empty)
{
    fill(0);
    CHECK(list_is_empty(&head));
    CHECK(list_take_first(&head) == NULL);
    CHECK_EQ(digits(&head), 1);
}

TEST(append_keeps_order)
{
    fill(4);
    CHECK(!list_is_empty(&head));
    CHECK_EQ(digits(&head), 10123);
    CHECK(head.prev == &items[3].link);
}

TEST(insert_before_a_link)
{
    fill(3);
    items[3].number = 3;
    list_insert_before(&items[1].link, &items[3].link);
    CHECK_EQ(digits(&head), 10312);
}

TEST(remove_twice_is_harmless)
{
    fill(3);
    list_remove(&items[1].link);
    list_remove(&items[1].link);
    CHECK_EQ(digits(&head), 102);
    CHECK(list_is_empty(&items[1].link));
}

TEST(take_first_until_empty)
{
    fill(3);
    for (int i = 0; i < 3; i++) {
        struct list *first = list_take_first(&head);
        CHECK(first == &items[i].link);
        CHECK(list_is_empty(first));
    }
    CHECK(list_is_empty(&head));
}

TEST(move_all_appends_and_empties)
{
    struct list to;
    list_init(&to);
    fill(4);
    list_remove(&items[0].link);
    list_append(&to, &items[0].link);
    list_move_all(&to, &head);
    CHECK_EQ(digits(&to), 10123);
    CHECK(list_is_empty(&head));

    list_move_all(&to, &head); /* from empty: nothing changes */
    CHECK_EQ(digits(&to), 10123);
    list_move_all(&head, &to); /* into empty */
    CHECK_EQ(digits(&head), 10123);
    CHECK(list_is_empty(&to));
}
