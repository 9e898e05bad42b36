/* Makes a damaged node one that its peers fill again. */
#include "main/rebuild.h"

#include <stdio.h>
#include <stdlib.h>

#include "adapters/uv/uv_env.h"
#include "config/options.h"
#include "main/exit.h"
#include "node/node.h"

int rebuild_run(int arg_count, char **args)
{
    struct options_rebuild options;
    struct error error;
    if (options_parse_rebuild(arg_count, args, &options, &error) != STATUS_OK) {
        (void)fprintf(stderr, "dougong: %s\n", error.text);
        return EXIT_USAGE;
    }
    struct uv_env *env = uv_env_create();
    enum status s = node_rebuild(uv_env_port(env), options.data, &error);
    uv_env_destroy(env);
    if (s != STATUS_OK) {
        (void)fprintf(stderr, "dougong: %s\n", error.text);
        return EXIT_FAILURE;
    }
    (void)printf("The log and the data of this node are moved aside, to the newest %s/damaged.N.\n"
                 "Start the node again, just as before: it takes its data from the other nodes. "
                 "Until INFO\nsays the same for groups_voting as for groups_here, no other node "
                 "should go down. Then\n%s/damaged.N can be deleted.\n",
                 options.data,
                 options.data);
    return EXIT_SUCCESS;
}
