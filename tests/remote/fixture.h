/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the registry client share: a folder, stores, an image of bytes. Failures end the test. */
#pragma once

#include "oci/image.h"
#include "remote/remote.h"
#include "store/store.h"

#define LAYERS 3
#define BIG_LAYER ((size_t)6 << 20)

struct test_image {
	struct buf layers[LAYERS]; /* the first is BIG_LAYER bytes */
	struct buf config, manifest;
	struct descriptor layer_descriptors[LAYERS];
	struct descriptor config_descriptor;
	struct descriptor descriptor;
};
/* Bytes differ by seed. */
void image_make(struct test_image *image, unsigned seed);
void image_fini(struct test_image *image);
/* All of it into a store. */
void image_put(struct store *s, const struct test_image *image);
/* Is all of it in the store, byte for byte? */
void image_check(struct store *s, const struct test_image *image);

/* A folder of its own as HOME, with no credentials and no proxies in the environment. */
const char *fixture_start(void);
void fixture_end(void);
/* A store named so in the folder. Close with store_close. */
struct store *fixture_store(const char *name);
/* A file in the folder. Caller frees the path. */
char *fixture_file(const char *name, const char *text);

void ok(struct err *e);
/* e must be of this kind and contain part, in its text or its hint. */
void refused(struct err *e, enum err_kind kind, const char *part);
