/* Exit statuses besides EXIT_SUCCESS (as asked) and EXIT_FAILURE (it did not work out). */
#ifndef MAIN_EXIT_H
#define MAIN_EXIT_H

#define EXIT_USAGE 2 /* wrong arguments: nothing was done */

#endif
