/* The version of this program; meson.build says the same, and a test compares them. */
#ifndef NODE_VERSION_H
#define NODE_VERSION_H

#define DOUGONG_VERSION "0.1.0"

#endif
