#include "harness.h"
#include "node/founding.h"

static struct error error;

static enum status parse(const char *founders,
                         const char *own,
                         uint32_t *out_count,
                         uint32_t *out_number)
{
    error = (struct error){0};
    return founding_parse_list(founders, own, out_count, out_number, &error);
}

TEST(lists)
{
    uint32_t count = 0;
    uint32_t number = 0;
    CHECK_EQ(parse("a:1,b:1,c:1", "c:1", &count, &number), STATUS_OK);
    CHECK_EQ(count, 3u);
    CHECK_EQ(number, 3u);
    CHECK_EQ(parse("a:1", "a:1", &count, &number), STATUS_OK);
    CHECK_EQ(count, 1u);
    CHECK_EQ(number, 1u);
    static const char *const bad[] = {
        "",
        ",",
        "a:1,",
        ",a:1",
        "b:1,,a:1",
        "a:1,a:1",
        "a:1,b:1,a:1",
        "a:1, b:1",
        "a:1,b:1\n",
        "b:1,c:1",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_EQ(parse(bad[i], "a:1", &count, &number), STATUS_INVALID);
        CHECK(strstr(error.text, "--cluster: ") != NULL);
    }
    CHECK_EQ(parse("a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p", "p", &count, &number), STATUS_OK);
    CHECK_EQ(count, IDENTITY_FOUNDERS_MAX);
    CHECK_EQ(parse("a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", "p", &count, &number), STATUS_INVALID);
    char longest[IDENTITY_ADDRESS_BYTES_MAX + 2] = "";
    memset(longest, 'x', IDENTITY_ADDRESS_BYTES_MAX);
    CHECK_EQ(parse(longest, longest, &count, &number), STATUS_OK);
    longest[IDENTITY_ADDRESS_BYTES_MAX] = 'x';
    CHECK_EQ(parse(longest, longest, &count, &number), STATUS_INVALID);
}

static const char list[] = "a:1,b:1,c:1";
static struct identity identity;

static void start_identity(void)
{
    static const uint8_t node[IDENTITY_ID_BYTES] = {1};
    struct founding_flags flags = {.founders = list, .number = 2, .groups = 4};
    founding_identity(&identity, &flags, node, node);
    CHECK(!identity.is_formed);
    CHECK(!identity_id_is_set(identity.cluster));
}

static enum status check_flags(const char *founders, uint32_t number, uint32_t groups)
{
    struct founding_flags flags = {.founders = founders, .number = number, .groups = groups};
    error = (struct error){0};
    return founding_check_flags(&identity, &flags, &error);
}

TEST(flags_of_an_initialised_directory)
{
    start_identity();
    CHECK_EQ(check_flags(list, 2, 4), STATUS_OK);
    CHECK_EQ(check_flags(list, 2, 0), STATUS_OK);
    CHECK_EQ(check_flags("a:1,b:1", 2, 4), STATUS_INVALID);
    CHECK_TEXT(error.text,
               "this directory was started with --cluster a:1,b:1,c:1, now with a:1,b:1");
    CHECK_EQ(check_flags(NULL, 1, 4), STATUS_INVALID);
    CHECK_TEXT(error.text,
               "this directory was started with --cluster a:1,b:1,c:1, now with (none)");
    CHECK_EQ(check_flags(list, 3, 4), STATUS_INVALID);
    CHECK(strstr(error.text, "founder 2") != NULL);
    CHECK(strstr(error.text, "founder 3") != NULL);
    CHECK_EQ(check_flags(list, 2, 8), STATUS_INVALID);
    CHECK(strstr(error.text, "--groups 4, now with 8") != NULL);
}

TEST(cluster_of_one)
{
    static const struct founding_callbacks no_callbacks;
    static const uint8_t node[IDENTITY_ID_BYTES] = {1};
    static const uint8_t cluster[IDENTITY_ID_BYTES] = {2};
    static const char *const lists[] = {NULL, "a:1"};
    for (size_t i = 0; i < 2; i++) {
        struct founding_flags flags = {.founders = lists[i], .number = 1, .groups = 4};
        founding_identity(&identity, &flags, node, cluster);
        CHECK(identity.is_formed);
        CHECK_BYTES(bytes_of(identity.cluster, IDENTITY_ID_BYTES),
                    bytes_of(cluster, sizeof(cluster)));
        error = (struct error){0};
        CHECK_EQ(founding_check_flags(&identity, &flags, &error), STATUS_OK);
        struct founding f;
        founding_init(&f, &identity, &no_callbacks, NULL);
        CHECK(founding_is_formed(&f));
    }
}
