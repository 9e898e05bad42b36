/* The Redis version whose commands and error texts this server speaks; clients read and compare it.
 */
#ifndef COMMAND_VERSION_H
#define COMMAND_VERSION_H

#define COMMAND_REDIS_VERSION "7.0.15"

#endif
