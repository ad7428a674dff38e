/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded queue of byte blocks between one producing thread and up to two readers, each of which sees every
 * byte. Memory is RING_BLOCKS * RING_BLOCK_SIZE. Ends travel both ways: the producer's close (well or failed)
 * reaches the readers after the last byte, and a reader that leaves stops holding the producer up.
 */
#pragma once

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>

#define RING_BLOCKS 8u
#define RING_BLOCK_SIZE (512u * 1024u)
#define RING_READERS_MAX 2u

struct ring;

struct ring *ring_new(unsigned readers);
void ring_freep(struct ring **r); /* when every thread is done with it */

/* Producer: a block to fill (RING_BLOCK_SIZE bytes), NULL when every reader has left. Then say how much of it
 * counts. */
void *ring_fill(struct ring *r);
void ring_filled(struct ring *r, size_t len); /* len > 0 */
/* No more will come. failed: readers get it from ring_next as -1 after what was filled. */
void ring_close(struct ring *r, bool failed);

/* Reader: the next block, borrowed until the next call. 1, 0 at the end, -1 when the producer failed. */
int ring_next(struct ring *r, unsigned reader, const void **p, size_t *len);
/* This reader wants no more. Also to be called at the end. */
void ring_leave(struct ring *r, unsigned reader);
