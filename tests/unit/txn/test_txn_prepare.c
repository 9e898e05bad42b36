/* Transactions over several groups that vote, message by message. */
#include "txn_world.h"

TEST(both_say_yes)
{
    struct world w;
    struct deal d;
    world_start(&w);
    submit(&w, &d, "set b 1;set c 2;get b", "", false);
    CHECK_EVENTS(&w, "");
    raise_barrier(&w);
    CHECK_EVENTS(&w,
                 "g1 txnprepare 1.1.1/0 of 1 2 [set b 1] [get b]\n"
                 "g2 txnprepare 1.1.1/0 of 1 2 [set c 2]\n");
    answer_replies(&w, 2, TXN_STATE_YES, 1, "+OK\r\n");
    CHECK_EVENTS(&w, "");
    answer_replies(&w, 1, TXN_STATE_YES, 2, "+OK\r\n$1\r\n1\r\n");
    CHECK_EVENTS(&w,
                 "g1 txncommit 1.1.1/0\n"
                 "g2 txncommit 1.1.1/0\n"
                 "barrier ends\n"
                 "committed: +OK +OK $1 1\n");
    answer(&w, 1, TXN_STATE_COMMITTED);
    answer(&w, 2, TXN_STATE_COMMITTED);
    CHECK_EVENTS(&w, "");
    CHECK_EQ(txn_counts(w.m).committed, 1u);
    deal_end(&d);
    world_end(&w);
}
