#include "command/secret.h"

/* Names whose values Redis calls sensitive. */
static const char *const secret_settings[] = {
    "requirepass",
    "masterauth",
    "masteruser",
    "tls-key-file-pass",
    "tls-client-key-file-pass",
};

static bool is_secret_setting(struct bytes name)
{
    for (size_t i = 0; i < sizeof secret_settings / sizeof secret_settings[0]; i++) {
        if (bytes_equal_nocase(name, secret_settings[i])) {
            return true;
        }
    }
    return false;
}

/* True if the argument stands so far behind the word. */
static bool is_behind(const struct bytes *args, size_t arg, const char *word, size_t distance)
{
    return arg > distance && bytes_equal_nocase(args[arg - distance], word);
}

bool command_arg_is_secret(const struct command *command,
                           const struct bytes *args,
                           size_t arg_count,
                           size_t arg)
{
    (void)arg_count;
    if (command->container != NULL) {
        bool is_config_set =
            strcmp(command->container, "config") == 0 && strcmp(command->name, "set") == 0;
        return is_config_set && arg >= 3 && arg % 2 == 1 && is_secret_setting(args[arg - 1]);
    }
    if (strcmp(command->name, "auth") == 0) {
        return arg >= 1;
    }
    /* Wherever AUTH stands: also in a HELLO that is refused for what comes before it. */
    if (strcmp(command->name, "hello") == 0) {
        return is_behind(args, arg, "auth", 1) || is_behind(args, arg, "auth", 2);
    }
    /* Refused here, but sent with passwords all the same. */
    if (strcmp(command->name, "migrate") == 0) {
        return is_behind(args, arg, "auth", 1) || is_behind(args, arg, "auth2", 1) ||
               is_behind(args, arg, "auth2", 2);
    }
    return false;
}
