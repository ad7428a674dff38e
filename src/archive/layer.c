/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/layer.h"

#include "archive/ring_internal.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

/* Hashes and counts what goes by. */
struct meter {
	struct hasher *hasher;
	uint64_t size;
};

static void meter_fini(struct meter *m)
{
	hasher_freep(&m->hasher);
}

static void meter_add(struct meter *m, const void *p, size_t len)
{
	hasher_add(m->hasher, p, len);
	m->size += len;
}

static void meter_result(struct meter *m, struct digest *diff_id, uint64_t *size)
{
	if (diff_id)
		hasher_finish(m->hasher, diff_id);
	if (size)
		*size = m->size;
}

/* A thread that runs beside the caller and leaves an error. */
struct side {
	pthread_t thread;
	bool running;
	struct ring *ring;
	struct err *(*run)(struct side *);
	void *ctx;
	struct err *result;
};

static void *side_main(void *arg)
{
	struct side *s = arg;
	s->result = s->run(s);
	return NULL;
}

static struct err *side_start(struct side *s)
{
	int rc = pthread_create(&s->thread, NULL, side_main, s);
	if (rc)
		return err_sys(rc, "starting a thread");
	s->running = true;
	return NULL;
}

static struct err *side_join(struct side *s)
{
	if (s->running)
		pthread_join(s->thread, NULL);
	s->running = false;
	return steal(&s->result);
}

/* One reader of a ring that hashes all of it. */
enum { HASH_READER, TAR_READER };

static struct err *hash_all(struct side *s)
{
	struct meter *m = s->ctx;
	const void *p;
	size_t len;
	while (ring_next(s->ring, HASH_READER, &p, &len) == 1)
		meter_add(m, p, len);
	ring_leave(s->ring, HASH_READER);
	return NULL;
}

static struct err *ring_put(struct ring *ring, const char *from, size_t len)
{
	while (len > 0) {
		size_t n = len < RING_BLOCK_SIZE ? len : RING_BLOCK_SIZE;
		void *to = ring_fill(ring);
		if (!to)
			return err_new(ERR_CANCELED, "the thread beside stopped");
		memcpy(to, from, n);
		ring_filled(ring, n);
		from += n;
		len -= n;
	}
	return NULL;
}

/* A second thread is started when there is more than this; most layers of a build are smaller. */
#define ALONE_MAX (1024u * 1024u)

/* Hashing a tree: the second thread hashes. */

struct hashing {
	struct meter meter;
	struct side side;
};

static struct err *hash_sink(void *ctx, const void *p, size_t len)
{
	struct hashing *h = ctx;
	if (!h->side.ring && h->meter.size < ALONE_MAX) {
		meter_add(&h->meter, p, len);
		return NULL;
	}
	if (!h->side.ring) {
		h->side = (struct side){.ring = ring_new(1), .run = hash_all, .ctx = &h->meter};
		TRY(side_start(&h->side));
	}
	return ring_put(h->side.ring, p, len);
}

static void hashing_fini(struct hashing *h)
{
	meter_fini(&h->meter);
	ring_freep(&h->side.ring);
}

struct err *layer_diff_id(
	int rootfd, const struct tar_write_options *opt, struct digest *diff_id, uint64_t *tar_size)
{
	AUTO(hashing_fini) struct hashing h = {.meter = {.hasher = hasher_new(DIGEST_SHA256)}};
	struct err *e = tar_write_tree(rootfd, opt, hash_sink, &h);
	if (h.side.ring)
		ring_close(h.side.ring, e != NULL);
	TRY(err_first(e, side_join(&h.side)));
	meter_result(&h.meter, diff_id, tar_size);
	return NULL;
}

/* Packing: this thread makes the tar and hashes it, the other compresses. */

struct packing {
	struct meter meter;
	struct side side;
	struct compressor *z;
};

static struct err *compress_all(struct side *s)
{
	struct compressor *z = s->ctx;
	struct err *e = NULL;
	const void *p;
	size_t len;
	int rc;
	while (!e && (rc = ring_next(s->ring, 0, &p, &len)) == 1)
		e = compressor_write(z, p, len);
	if (!e && rc == 0)
		e = compressor_finish(z);
	ring_leave(s->ring, 0);
	return e;
}

static struct err *pack_sink(void *ctx, const void *p, size_t len)
{
	struct packing *k = ctx;
	meter_add(&k->meter, p, len);
	if (!k->side.ring && k->meter.size <= ALONE_MAX)
		return compressor_write(k->z, p, len);
	if (!k->side.ring) {
		k->side = (struct side){.ring = ring_new(1), .run = compress_all, .ctx = k->z};
		TRY(side_start(&k->side));
	}
	return ring_put(k->side.ring, p, len);
}

static void packing_fini(struct packing *k)
{
	meter_fini(&k->meter);
	ring_freep(&k->side.ring);
	compressor_freep(&k->z);
}

static struct err *pack_plain(int rootfd, const struct tar_write_options *opt, struct packing *k)
{
	struct err *e = tar_write_tree(rootfd, opt, pack_sink, k);
	if (!k->side.ring)
		return e ? e : compressor_finish(k->z);
	ring_close(k->side.ring, e != NULL);
	/* If the other side failed, its reason is the true one. */
	return err_first(side_join(&k->side), e);
}

struct err *layer_pack(int rootfd, const struct tar_write_options *opt, enum codec codec, byte_sink *sink,
	void *ctx, struct digest *diff_id, uint64_t *tar_size)
{
	AUTO(packing_fini) struct packing k = {.meter = {.hasher = hasher_new(DIGEST_SHA256)}};
	TRY(compressor_new(codec, sink, ctx, &k.z));
	TRY(pack_plain(rootfd, opt, &k));
	meter_result(&k.meter, diff_id, tar_size);
	return NULL;
}

/* Unpacking: one thread decompresses, one hashes, this one writes files. */

static struct err *decompress_all(struct side *s)
{
	struct decompressor *z = s->ctx;
	struct err *e = NULL;
	for (bool more = true; more;) {
		uint8_t *to = ring_fill(s->ring);
		if (!to)
			break;
		size_t got = 0;
		while (!e && more && got < RING_BLOCK_SIZE) {
			size_t n = RING_BLOCK_SIZE - got;
			e = decompressor_read(z, to + got, &n);
			more = !e && n > 0;
			got += e ? 0 : n;
		}
		if (got > 0)
			ring_filled(s->ring, got);
	}
	ring_close(s->ring, e != NULL);
	return e;
}

struct ring_source {
	struct ring *ring;
	const uint8_t *p;
	size_t len;
};

static struct err *ring_source_read(void *ctx, void *p, size_t *len)
{
	struct ring_source *s = ctx;
	if (s->len == 0) {
		const void *block;
		int rc = ring_next(s->ring, TAR_READER, &block, &s->len);
		if (rc < 0)
			return err_new(ERR_CANCELED, "the decompressing thread stopped");
		if (rc == 0) {
			*len = 0;
			return NULL;
		}
		s->p = block;
	}
	size_t n = s->len < *len ? s->len : *len;
	memcpy(p, s->p, n);
	s->p += n;
	s->len -= n;
	*len = n;
	return NULL;
}

static struct err *unpack_threads(struct side *unzip, struct side *hash, int rootfd,
	const struct tar_read_options *opt, struct tar_read_result *out)
{
	struct ring_source rs = {.ring = unzip->ring};
	TRY(side_start(unzip));
	struct err *e = side_start(hash);
	if (!e)
		e = tar_read_tree(rootfd, opt, ring_source_read, &rs, out);
	ring_leave(unzip->ring, TAR_READER);
	/* After a failure nobody needs the digest: let the decompressor stop early. */
	if (e)
		ring_leave(unzip->ring, HASH_READER);
	struct err *unzip_error = side_join(unzip);
	return err_first(unzip_error, err_first(e, side_join(hash)));
}

struct err *layer_unpack(byte_source *source, void *ctx, int rootfd, const struct tar_read_options *opt,
	struct digest *diff_id, struct tar_read_result *out)
{
	AUTO(decompressor_freep) struct decompressor *z = NULL;
	uint64_t max = opt ? opt->declared_size : 0;
	TRY(decompressor_new(source, ctx, max, NULL, &z));
	AUTO(meter_fini) struct meter m = {.hasher = hasher_new(DIGEST_SHA256)};
	AUTO(ring_freep) struct ring *ring = ring_new(2);
	struct side unzip = {.ring = ring, .run = decompress_all, .ctx = z};
	struct side hash = {.ring = ring, .run = hash_all, .ctx = &m};
	struct tar_read_result result = {0};
	TRY(unpack_threads(&unzip, &hash, rootfd, opt, &result));
	meter_result(&m, diff_id, NULL);
	if (out)
		*out = result;
	return NULL;
}

struct err *layer_blob_diff_id(
	byte_source *source, void *ctx, uint64_t max_output, struct digest *diff_id, uint64_t *tar_size)
{
	AUTO(decompressor_freep) struct decompressor *z = NULL;
	TRY(decompressor_new(source, ctx, max_output, NULL, &z));
	AUTO(meter_fini) struct meter m = {.hasher = hasher_new(DIGEST_SHA256)};
	AUTO(ring_freep) struct ring *ring = ring_new(1);
	struct side unzip = {.ring = ring, .run = decompress_all, .ctx = z};
	struct side hash = {.ring = ring, .run = hash_all, .ctx = &m};
	TRY(side_start(&unzip));
	struct err *e = hash_all(&hash);
	TRY(err_first(side_join(&unzip), e));
	meter_result(&m, diff_id, tar_size);
	return NULL;
}
