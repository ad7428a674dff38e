/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes the input in as a docker-archive that is read once, in a store in memory, by large and by small
 * pieces: both must say the same, and what was taken must be all there and read again.
 */
#include "base/mem.h"
#include "oci/images.h"
#include "sys/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Blobs of what was taken pile up. */
#define INPUTS_OF_A_STORE 2000

static char place[64];
static struct store *store;
static unsigned inputs;

static void must(struct err *e, const char *what)
{
	if (!e)
		return;
	AUTO_FREE char *text = err_text(e);
	fprintf(stderr, "fuzz_image_stream: %s: %s\n", what, text);
	abort();
}

static void remove_place(void)
{
	store_close(store);
	err_ignore(tree_remove(AT_FDCWD, place), "scratch space");
}

static void prepare(void)
{
	if (!*place) {
		snprintf(place, sizeof(place), "%s/fuzz-stream-XXXXXX",
			access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
		if (!mkdtemp(place))
			abort();
		atexit(remove_place);
	}
	if (store && ++inputs % INPUTS_OF_A_STORE)
		return;
	AUTO_FREE char *home = mem_printf("%s/store", place);
	store_close(store);
	must(tree_remove(AT_FDCWD, home), "emptying the store");
	must(store_open(home, NULL, &store), "opening a store");
}

struct bytes {
	const uint8_t *p;
	size_t len, step;
};

static struct err *give(void *ctx, void *p, size_t *len)
{
	struct bytes *b = ctx;
	size_t n = *len < b->len ? *len : b->len;
	if (b->step && n > b->step)
		n = b->step;
	if (n > 0)
		memcpy(p, b->p, n);
	b->p += n;
	b->len -= n;
	*len = n;
	return NULL;
}

/* Random changes would stop at the first checksum: make those of all that looks like a header right. */
static void mend(uint8_t *p, size_t size)
{
	for (; size >= 512; p += 512, size -= 512) {
		unsigned sum = 0;
		char text[8];
		if (memcmp(p + 257, "ustar", 5) != 0)
			continue;
		memset(p + 148, ' ', 8);
		for (size_t i = 0; i < 512; i++)
			sum += p[i];
		snprintf(text, sizeof(text), "%06o", sum);
		memcpy(p + 148, text, 7);
	}
}

static struct err *edit(void *ctx, json_t *config)
{
	(void)ctx;
	json_set_text(config, "author", "fuzz");
	return NULL;
}

static struct err *take(const uint8_t *tar, size_t size, size_t step, struct descriptor *out)
{
	struct bytes b = {tar, size, step};
	struct image_stream in = {.source = give, .ctx = &b, .edit = size & 1 ? edit : NULL};
	return images_import_stream(store, &in, out);
}

static void check_image(const struct descriptor *image)
{
	AUTO(manifest_fini) struct manifest m = {0};
	AUTO(image_config_fini) struct image_config c = {0};
	must(images_read(store, &image->digest, &m, &c), "reading what was taken");
	if (m.entries.len != c.diff_ids.len)
		abort();
	for (size_t i = 0; i < m.entries.len; i++) {
		const struct descriptor *layer = vec_at(&m.entries, i);
		int64_t here = -1;
		must(store_blob_stat(store, &layer->digest, &here), "looking for a layer");
		if (here < 0 || (uint64_t)here != layer->size)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct descriptor whole = {0}, pieces = {0};
	if (size < 2)
		return 0;
	prepare();
	AUTO_FREE uint8_t *tar = mem_dup(data + 1, size - 1);
	if (data[0] & 1)
		mend(tar, size - 1);
	struct err *e = take(tar, size - 1, 0, &whole);
	struct err *f = take(tar, size - 1, 97, &pieces);
	if ((e == NULL) != (f == NULL))
		abort();
	if (!e && !digest_eq(&whole.digest, &pieces.digest))
		abort();
	if (!e)
		check_image(&whole);
	err_free(e);
	err_free(f);
	return 0;
}
