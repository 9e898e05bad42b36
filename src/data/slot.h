/*
 * key → slot, as every cluster client computes it: CRC16 (XMODEM) mod 16384, of the part between
 * the first '{' and the next '}' if there is something between them, else of the whole key.
 */
#ifndef DATA_SLOT_H
#define DATA_SLOT_H

#include "base/bytes.h"

#define SLOT_COUNT 16384u

uint16_t slot_of_key(struct bytes key);

#endif
