#ifndef MAIN_REBUILD_H
#define MAIN_REBUILD_H

/* `dougong rebuild`; args: what follows the verb. Returns the exit status. */
int rebuild_run(int arg_count, char **args);

#endif
