/* `dougong local`: a whole cluster on this machine, each node a process of this same program. */
#ifndef MAIN_LOCAL_H
#define MAIN_LOCAL_H

/* args: what follows the verb. Returns the exit status when all nodes have ended. */
int local_run(int arg_count, char **args);

#endif
