/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests and hashing (OCI image-spec descriptor.md, "Digests"). sha256 by libcrypto with the CPU's own
 * instructions; sha512 too, because registries must take it.
 * Threads: a hasher belongs to one thread.
 */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum digest_algo { DIGEST_NONE, DIGEST_SHA256, DIGEST_SHA512 };

/* Plain data. A zeroed digest is "none". Bytes beyond the algorithm's length are zero. */
struct digest {
	enum digest_algo algo;
	uint8_t bytes[64];
};

#define DIGEST_TEXT_MAX 136 /* "sha512:" + 128 hex + NUL */

size_t digest_len(enum digest_algo algo); /* 32 or 64; 0 for none */
const char *digest_algo_name(enum digest_algo algo);
bool digest_is_set(const struct digest *d);
bool digest_eq(const struct digest *a, const struct digest *b);
int digest_cmp(const struct digest *a, const struct digest *b);
/* The same as digest_eq in a time that does not depend on the bytes: for hashes of secrets. */
bool digest_eq_secret(const struct digest *a, const struct digest *b);
/* "sha256:<hex>" into out; returns out. Of "none" the text is empty. */
const char *digest_text(const struct digest *d, char out[DIGEST_TEXT_MAX]);
/* The hex alone. */
const char *digest_hex(const struct digest *d, char out[DIGEST_TEXT_MAX]);
/* Strict: known algorithm, lower-case hex of the right length. ERR_INVALID. */
MUST_USE struct err *digest_parse(struct str text, struct digest *out);
bool digest_valid(struct str text);

struct hasher;
struct hasher *hasher_new(enum digest_algo algo);
enum digest_algo hasher_algo(const struct hasher *h);
void hasher_free(struct hasher *h);
void hasher_freep(struct hasher **h);
void hasher_add(struct hasher *h, const void *p, size_t len);
/* Length-prefixed (as by hasher_add_u64), so that ("ab","c") and ("a","bc") differ. */
void hasher_add_field(struct hasher *h, struct str s);
void hasher_add_u64(struct hasher *h, uint64_t v); /* eight bytes, the highest first */
/* May be called once; the hasher can only be freed or reset after. */
void hasher_finish(struct hasher *h, struct digest *out);
void hasher_reset(struct hasher *h);
/* The digest so far, leaving h as it is. */
void hasher_peek(const struct hasher *h, struct digest *out);

void digest_of(const void *p, size_t len, struct digest *out); /* sha256 */
/* HMAC-SHA-256 (RFC 2104). */
void hmac_sha256(struct str key, struct str message, struct digest *out);

/* Fill with bytes from the kernel's random source. */
void random_bytes(void *p, size_t len);
/* 2*n hex characters and a NUL. */
void random_hex(char *out, size_t n);
