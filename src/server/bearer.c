/* SPDX-License-Identifier: Apache-2.0 */
#include "server/bearer.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/mem.h"
#include "oci/reference.h"

#include <string.h>

#define SPACE "server"
#define KEY_NAME "bearer-key"
#define KEY_BYTES 32
/* With the base64 that follows it stays below what a header may have. */
#define PAYLOAD_MAX 2400
#define TEXT_MAX 4096
#define VERSION "1"

/* ---- grants ---- */

void grants_init(struct grants *g)
{
	g->list = VEC_OF(struct grant);
}

void grants_fini(struct grants *g)
{
	for (size_t i = 0; i < g->list.len; i++)
		mem_freep(&((struct grant *)vec_at(&g->list, i))->repository);
	vec_fini(&g->list);
}

static struct grant *find(const struct grants *g, const char *repository)
{
	for (size_t i = 0; i < g->list.len; i++) {
		struct grant *one = vec_at(&g->list, i);
		if (cstr_eq(one->repository, repository))
			return one;
	}
	return NULL;
}

unsigned grants_of(const struct grants *g, const char *repository)
{
	const struct grant *one = find(g, repository);
	return one ? one->rights : 0;
}

static void add(struct grants *g, struct str repository, unsigned rights)
{
	AUTO_FREE char *name = mem_strndup(repository.ptr, repository.len);
	struct grant *one = find(g, name);
	if (one) {
		one->rights |= rights;
	} else if (rights && g->list.len < GRANTS_MAX) {
		const struct grant fresh = {.repository = steal(&name), .rights = rights};
		vec_push_copy(&g->list, &fresh);
	}
}

static unsigned parse_actions(struct str actions)
{
	unsigned rights = 0;
	struct str one;
	while (str_split(&actions, ',', &one)) {
		if (str_eq_c(one, "pull"))
			rights |= RIGHT_PULL;
		else if (str_eq_c(one, "push"))
			rights |= RIGHT_PUSH;
		else if (str_eq_c(one, "delete"))
			rights |= RIGHT_DELETE;
		else if (str_eq_c(one, "*"))
			rights |= RIGHT_PULL | RIGHT_PUSH | RIGHT_DELETE;
	}
	return rights;
}

static void add_one(struct grants *g, const struct token *t, struct str scope)
{
	ptrdiff_t first = str_index(scope, ':'), last = str_rindex(scope, ':');
	if (first < 0 || last <= first)
		return;
	struct str kind = str_n(scope.ptr, (size_t)first);
	struct str name = str_n(scope.ptr + first + 1, (size_t)(last - first - 1));
	unsigned asked = parse_actions(str_skip(scope, (size_t)last + 1));
	if (str_eq_c(kind, "registry") && str_eq_c(name, "catalog"))
		add(g, STR(""), asked & token_rights_anywhere(t) & RIGHT_PULL);
	if (!str_eq_c(kind, "repository") || !repository_valid(name))
		return;
	AUTO_FREE char *repository = mem_strndup(name.ptr, name.len);
	add(g, name, asked & token_rights(t, repository));
}

void grants_add_scope(struct grants *g, const struct token *t, struct str scope)
{
	struct str one;
	while (t && str_split(&scope, ' ', &one))
		add_one(g, t, one);
}

/* ---- the key ---- */

static struct err *read_key(struct store *s, struct bearer_key *out, bool *found)
{
	AUTO_BUF struct buf value = {0};
	TRY(store_record_get(s, SPACE, KEY_NAME, &value, found));
	if (*found && value.len != sizeof(out->text) - 1)
		return err_new(ERR_CORRUPT, "the record " SPACE "/" KEY_NAME " is no key");
	if (*found)
		memcpy(out->text, buf_cstr(&value), sizeof(out->text));
	return NULL;
}

struct err *bearer_key_get(struct store *s, struct bearer_key *out)
{
	bool found = false, swapped = false;
	char fresh[2 * KEY_BYTES + 1];
	TRY(read_key(s, out, &found));
	if (found)
		return NULL;
	random_hex(fresh, KEY_BYTES);
	const struct store_record r = {.space = SPACE, .key = KEY_NAME, .value = str_c(fresh)};
	/* Whoever comes first; the others take that one. */
	struct err *e = store_record_swap(s, &r, NULL, &swapped);
	explicit_bzero(fresh, sizeof(fresh));
	TRY(e);
	TRY(read_key(s, out, &found));
	return found ? NULL : err_new(ERR_CORRUPT, "the record " SPACE "/" KEY_NAME " went away");
}

/* ---- texts: prefix, base64 of the payload, '.', base64 of its HMAC ---- */

/* The payload is "1 <token id> <expires, s> <rights>:<repository>..."; names hold neither blanks nor colons.
 */
static void write_payload(const char *id, int64_t expires, const struct grants *g, struct buf *out)
{
	buf_addf(out, VERSION " %s %lld", id, (long long)(expires / CLOCK_SECOND));
	for (size_t i = 0; i < g->list.len; i++) {
		const struct grant *one = vec_at(&g->list, i);
		if (out->len + strlen(one->repository) + 4 <= PAYLOAD_MAX)
			buf_addf(out, " %u:%s", one->rights, one->repository);
	}
}

static void sign(const struct bearer_key *key, struct str payload, struct digest *out)
{
	hmac_sha256(str_n(key->text, strlen(key->text)), payload, out);
}

void bearer_write(const struct bearer_key *key, const char *id, int64_t expires, const struct grants *g,
	struct buf *out)
{
	AUTO_BUF struct buf payload = {0};
	struct digest mac;
	write_payload(id, expires, g, &payload);
	sign(key, buf_str(&payload), &mac);
	buf_adds(out, BEARER_PREFIX);
	base64_add(out, buf_str(&payload));
	buf_adds(out, ".");
	base64_add(out, str_n((const char *)mac.bytes, digest_len(DIGEST_SHA256)));
}

static bool decode(struct str text, struct buf *out)
{
	struct err *e = base64_decode(text, out);
	bool ok = !e;
	err_free(e);
	return ok;
}

static bool is_signed(const struct bearer_key *key, struct str payload, struct str mac)
{
	struct digest shown = {.algo = DIGEST_SHA256}, right;
	if (mac.len != digest_len(DIGEST_SHA256))
		return false;
	memcpy(shown.bytes, mac.ptr, mac.len);
	sign(key, payload, &right);
	return digest_eq_secret(&shown, &right);
}

static bool read_payload(struct str payload, int64_t now, char id[TOKEN_ID_LEN + 1], struct grants *out)
{
	struct str version, holder, until, one;
	int64_t expires = 0;
	uint64_t rights = 0;
	if (!str_split(&payload, ' ', &version) || !str_eq_c(version, VERSION) ||
		!str_split(&payload, ' ', &holder) || holder.len != TOKEN_ID_LEN ||
		!str_split(&payload, ' ', &until) || !str_to_i64(until, &expires) ||
		now / CLOCK_SECOND >= expires)
		return false;
	memcpy(id, holder.ptr, TOKEN_ID_LEN);
	id[TOKEN_ID_LEN] = '\0';
	while (str_split(&payload, ' ', &one)) {
		ptrdiff_t colon = str_index(one, ':');
		if (colon <= 0 || !str_to_u64(str_n(one.ptr, (size_t)colon), &rights))
			return false;
		add(out, str_skip(one, (size_t)colon + 1), (unsigned)rights);
	}
	return true;
}

bool bearer_read(const struct bearer_key *key, struct str text, int64_t now, char id[TOKEN_ID_LEN + 1],
	struct grants *out)
{
	AUTO_BUF struct buf payload = {0}, mac = {0};
	if (text.len > TEXT_MAX || !str_starts(text, BEARER_PREFIX))
		return false;
	text = str_skip(text, strlen(BEARER_PREFIX));
	ptrdiff_t dot = str_index(text, '.');
	return dot > 0 && decode(str_n(text.ptr, (size_t)dot), &payload) &&
	       decode(str_skip(text, (size_t)dot + 1), &mac) &&
	       is_signed(key, buf_str(&payload), buf_str(&mac)) &&
	       read_payload(buf_str(&payload), now, id, out);
}
