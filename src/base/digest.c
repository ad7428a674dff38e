/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The low-level functions and not EVP: they need no provider to be loaded, which would take longer than
 * all the hashing of a cached build.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "base/digest.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static const struct {
	const char *name;
	size_t len;
} algos[] = {
	[DIGEST_NONE] = {"none", 0},
	[DIGEST_SHA256] = {"sha256", SHA256_DIGEST_LENGTH},
	[DIGEST_SHA512] = {"sha512", SHA512_DIGEST_LENGTH},
};

struct hasher {
	enum digest_algo algo;
	bool finished;
	union {
		SHA256_CTX sha256;
		SHA512_CTX sha512;
	} ctx;
};

size_t digest_len(enum digest_algo algo)
{
	return (size_t)algo < ARRAY_LEN(algos) ? algos[algo].len : 0;
}

const char *digest_algo_name(enum digest_algo algo)
{
	return (size_t)algo < ARRAY_LEN(algos) ? algos[algo].name : "unknown";
}

bool digest_is_set(const struct digest *d)
{
	return d->algo != DIGEST_NONE;
}

bool digest_eq(const struct digest *a, const struct digest *b)
{
	return digest_cmp(a, b) == 0;
}

bool digest_eq_secret(const struct digest *a, const struct digest *b)
{
	return a->algo == b->algo && CRYPTO_memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

int digest_cmp(const struct digest *a, const struct digest *b)
{
	if (a->algo != b->algo)
		return a->algo < b->algo ? -1 : 1;
	return memcmp(a->bytes, b->bytes, digest_len(a->algo));
}

static char *put_hex(char *out, const uint8_t *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < len; i++) {
		*out++ = digits[bytes[i] >> 4];
		*out++ = digits[bytes[i] & 15];
	}
	*out = '\0';
	return out;
}

const char *digest_hex(const struct digest *d, char out[DIGEST_TEXT_MAX])
{
	put_hex(out, d->bytes, digest_len(d->algo));
	return out;
}

const char *digest_text(const struct digest *d, char out[DIGEST_TEXT_MAX])
{
	out[0] = '\0';
	if (!digest_is_set(d))
		return out;
	char *p = stpcpy(out, digest_algo_name(d->algo));
	*p++ = ':';
	put_hex(p, d->bytes, digest_len(d->algo));
	return out;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* NULL if text is a digest, else what is wrong with it. */
static const char *parse(struct str text, struct digest *out)
{
	ptrdiff_t colon = str_index(text, ':');
	if (colon < 0)
		return "no algorithm";
	struct str algo = str_n(text.ptr, (size_t)colon);
	struct str hex = str_skip(text, (size_t)colon + 1);
	struct digest d = {0};
	if (str_eq(algo, STR("sha256")))
		d.algo = DIGEST_SHA256;
	else if (str_eq(algo, STR("sha512")))
		d.algo = DIGEST_SHA512;
	else
		return "unknown algorithm";
	if (hex.len != 2 * digest_len(d.algo))
		return "wrong length";
	for (size_t i = 0; i < hex.len; i++) {
		int v = hex_value(hex.ptr[i]);
		if (v < 0)
			return "not lower-case hex";
		d.bytes[i / 2] = (uint8_t)(d.bytes[i / 2] << 4 | v);
	}
	*out = d;
	return NULL;
}

struct err *digest_parse(struct str text, struct digest *out)
{
	const char *wrong = parse(text, out);
	if (!wrong)
		return NULL;
	/* The text may be anything: a message quotes no more of it than a digest is long. */
	struct str shown = str_n(text.ptr, text.len < DIGEST_TEXT_MAX ? text.len : DIGEST_TEXT_MAX);
	return err_new(ERR_INVALID, "digest \"" STR_FMT "\": %s", STR_ARG(shown), wrong);
}

bool digest_valid(struct str text)
{
	struct digest d;
	return parse(text, &d) == NULL;
}

struct hasher *hasher_new(enum digest_algo algo)
{
	assert(algo == DIGEST_SHA256 || algo == DIGEST_SHA512);
	struct hasher *h = mem_new(struct hasher);
	h->algo = algo;
	hasher_reset(h);
	return h;
}

enum digest_algo hasher_algo(const struct hasher *h)
{
	return h->algo;
}

void hasher_free(struct hasher *h)
{
	int saved = errno;
	free(h);
	errno = saved;
}

void hasher_freep(struct hasher **h)
{
	hasher_free(*h);
	*h = NULL;
}

void hasher_add(struct hasher *h, const void *p, size_t len)
{
	assert(!h->finished);
	if (h->algo == DIGEST_SHA256)
		SHA256_Update(&h->ctx.sha256, p, len);
	else
		SHA512_Update(&h->ctx.sha512, p, len);
}

void hasher_add_field(struct hasher *h, struct str s)
{
	hasher_add_u64(h, s.len);
	hasher_add(h, s.ptr, s.len);
}

void hasher_add_u64(struct hasher *h, uint64_t v)
{
	uint8_t bytes[8];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(v >> (56 - 8 * i));
	hasher_add(h, bytes, sizeof(bytes));
}

void hasher_finish(struct hasher *h, struct digest *out)
{
	assert(!h->finished);
	h->finished = true;
	*out = (struct digest){.algo = h->algo};
	if (h->algo == DIGEST_SHA256)
		SHA256_Final(out->bytes, &h->ctx.sha256);
	else
		SHA512_Final(out->bytes, &h->ctx.sha512);
}

void hasher_reset(struct hasher *h)
{
	h->finished = false;
	if (h->algo == DIGEST_SHA256)
		SHA256_Init(&h->ctx.sha256);
	else
		SHA512_Init(&h->ctx.sha512);
}

void hasher_peek(const struct hasher *h, struct digest *out)
{
	struct hasher copy = *h;
	hasher_finish(&copy, out);
}

void digest_of(const void *p, size_t len, struct digest *out)
{
	SHA256_CTX ctx;
	SHA256_Init(&ctx);
	SHA256_Update(&ctx, p, len);
	*out = (struct digest){.algo = DIGEST_SHA256};
	SHA256_Final(out->bytes, &ctx);
}

void random_bytes(void *p, size_t len)
{
	char *at = p;
	while (len > 0) {
		ssize_t n = getrandom(at, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			/* Going on with bytes that can be guessed would be worse. */
			perror("cooper: getrandom");
			abort();
		}
		at += n;
		len -= (size_t)n;
	}
}

void random_hex(char *out, size_t n)
{
	uint8_t bytes[64];
	*out = '\0';
	while (n > 0) {
		size_t part = n < sizeof(bytes) ? n : sizeof(bytes);
		random_bytes(bytes, part);
		out = put_hex(out, bytes, part);
		n -= part;
	}
}

#define HMAC_BLOCK 64

void hmac_sha256(struct str key, struct str message, struct digest *out)
{
	uint8_t pad[HMAC_BLOCK] = {0};
	struct digest inner;
	if (key.len > HMAC_BLOCK) {
		digest_of(key.ptr, key.len, &inner);
		memcpy(pad, inner.bytes, digest_len(DIGEST_SHA256));
	} else if (key.len) {
		memcpy(pad, key.ptr, key.len);
	}
	struct hasher *h = hasher_new(DIGEST_SHA256);
	for (size_t i = 0; i < HMAC_BLOCK; i++)
		pad[i] ^= 0x36;
	hasher_add(h, pad, sizeof(pad));
	hasher_add(h, message.ptr, message.len);
	hasher_finish(h, &inner);
	hasher_reset(h);
	for (size_t i = 0; i < HMAC_BLOCK; i++)
		pad[i] ^= 0x36 ^ 0x5c;
	hasher_add(h, pad, sizeof(pad));
	hasher_add(h, inner.bytes, digest_len(DIGEST_SHA256));
	hasher_finish(h, out);
	hasher_free(h);
	explicit_bzero(pad, sizeof(pad));
}
