/* SPDX-License-Identifier: Apache-2.0 */
#include "server/tokens.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/mem.h"
#include "registry/policy.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define SPACE "token"
#define PREFIX "cooper_"
#define SECRET_BYTES 32
#define NAME_MAX_LEN 64
#define GLOB_MAX_LEN 255

const char *const token_scope_names[] = {"admin", "release", "runner", "push", "pull", "metrics", NULL};

bool token_scope_parse(const char *name, unsigned *scopes)
{
	for (unsigned i = 0; token_scope_names[i]; i++)
		if (cstr_eq(name, token_scope_names[i])) {
			*scopes |= 1u << i;
			return true;
		}
	return false;
}

char *token_scopes_text(unsigned scopes)
{
	AUTO_BUF struct buf b = {0};
	for (unsigned i = 0; token_scope_names[i]; i++)
		if (scopes & 1u << i)
			buf_addf(&b, "%s%s", b.len ? "," : "", token_scope_names[i]);
	return mem_strdup(buf_cstr(&b));
}

char *token_repositories_text(const struct token *t)
{
	AUTO_BUF struct buf b = {0};
	for (size_t i = 0; i < t->repositories.len; i++)
		buf_addf(&b, "%s%s", i ? ", " : "", t->repositories.ptr[i]);
	return mem_strdup(b.len ? buf_cstr(&b) : "all");
}

void token_fini(struct token *t)
{
	mem_freep(&t->name);
	strvec_fini(&t->repositories);
	*t = (struct token){0};
}

void tokens_fini(struct vec *tokens)
{
	for (size_t i = 0; i < tokens->len; i++)
		token_fini(vec_at(tokens, i));
	vec_fini(tokens);
}

bool token_name_valid(struct str name)
{
	if (!name.len || name.len > NAME_MAX_LEN || !isalnum((unsigned char)name.ptr[0]))
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (!isalnum((unsigned char)name.ptr[i]) && !strchr("._-", name.ptr[i]))
			return false;
	return true;
}

unsigned token_rights_anywhere(const struct token *t)
{
	if (t->scopes & SCOPE_ADMIN)
		return RIGHT_PULL | RIGHT_PUSH | RIGHT_DELETE;
	if (t->scopes & SCOPE_PUSH)
		return RIGHT_PULL | RIGHT_PUSH;
	return t->scopes & SCOPE_PULL ? RIGHT_PULL : 0;
}

unsigned token_rights(const struct token *t, const char *repository)
{
	bool within = !t->repositories.len;
	for (size_t i = 0; i < t->repositories.len && !within; i++)
		within = policy_match(str_c(t->repositories.ptr[i]), str_c(repository));
	return within ? token_rights_anywhere(t) : 0;
}

/* ---- rows ---- */

static json_t *scopes_array(unsigned scopes)
{
	json_t *list = json_array();
	for (unsigned i = 0; token_scope_names[i]; i++)
		if (scopes & 1u << i)
			json_array_append_new(list, json_text(token_scope_names[i]));
	return list;
}

/* Apart from "scopes", so that a program which knows nothing of repositories takes it for a token that may do
 * nothing. */
static json_t *within_json(const struct token *t)
{
	json_t *o = json_object(), *globs = json_array();
	for (size_t i = 0; i < t->repositories.len; i++)
		json_array_append_new(globs, json_text(t->repositories.ptr[i]));
	json_object_set_new(o, "repositories", globs);
	json_object_set_new(o, "scopes", scopes_array(t->scopes));
	return o;
}

static char *encode(const struct token *t, const struct digest *hash)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_JSON json_t *o = json_object();
	json_set_text(o, "name", t->name);
	json_set_text(o, "hash", digest_text(hash, text));
	json_object_set_new(o, "scopes", scopes_array(t->repositories.len ? 0 : t->scopes));
	if (t->repositories.len)
		json_object_set_new(o, "within", within_json(t));
	json_object_set_new(o, "created", json_integer(t->created));
	json_object_set_new(o, "expires", json_integer(t->expires));
	json_object_set_new(o, "used", json_integer(t->used));
	return json_dump(o, false);
}

static struct err *decode(const char *id, struct str value, struct token *out, struct digest *hash)
{
	AUTO_JSON json_t *o = NULL;
	AUTO_STRVEC struct strvec scopes = {0};
	AUTO(token_fini) struct token t = {0};
	const char *name = NULL, *hashed = NULL;
	json_t *within = NULL;
	TRY(json_parse(value, SPACE, &o));
	TRY(json_get_string(o, "name", SPACE, &name));
	TRY(json_get_string(o, "hash", SPACE, &hashed));
	TRY(json_get_object(o, "within", SPACE, &within));
	TRY(json_get_strings(within ? within : o, "scopes", SPACE, &scopes));
	if (within)
		TRY(json_get_strings(within, "repositories", SPACE, &t.repositories));
	TRY(json_get_int(o, "created", SPACE, &t.created));
	TRY(json_get_int(o, "expires", SPACE, &t.expires));
	TRY(json_get_int(o, "used", SPACE, &t.used));
	if (!name || strlen(id) != TOKEN_ID_LEN || (within && !t.repositories.len))
		return err_new(ERR_CORRUPT, "the record of token %s is not whole", id);
	TRY(digest_parse(str_c(hashed), hash));
	/* A scope that this program does not know gives no right. */
	for (size_t i = 0; i < scopes.len; i++)
		(void)token_scope_parse(scopes.ptr[i], &t.scopes);
	memcpy(t.id, id, sizeof(t.id));
	t.name = mem_strdup(name);
	*out = t;
	t = (struct token){0};
	return NULL;
}

static struct err *collect(void *ctx, const struct store_record_row *row)
{
	struct vec *list = ctx;
	struct token t = {0};
	struct digest hash;
	TRY(decode(row->key, row->value, &t, &hash));
	vec_push_copy(list, &t);
	return NULL;
}

static int by_name(const void *a, const void *b)
{
	const struct token *x = a, *y = b;
	return strcmp(x->name, y->name);
}

struct err *tokens_list(struct store *s, struct vec *out)
{
	AUTO(tokens_fini) struct vec list = VEC_OF(struct token);
	TRY(store_record_each(s, SPACE, "", NULL, 0, collect, &list));
	vec_sort(&list, by_name);
	*out = list;
	list = VEC_OF(struct token);
	return NULL;
}

static struct err *see_one(void *ctx, const struct store_record_row *row)
{
	(void)row;
	*(bool *)ctx = true;
	return NULL;
}

struct err *tokens_exist(struct store *s, bool *out)
{
	bool any = false;
	TRY(store_record_each(s, SPACE, "", NULL, 1, see_one, &any));
	*out = any;
	return NULL;
}

static const struct token *find(const struct vec *list, const char *name)
{
	for (size_t i = 0; i < list->len; i++) {
		const struct token *t = vec_at(list, i);
		if (cstr_eq(t->name, name))
			return t;
	}
	return NULL;
}

/* ---- making and deleting ---- */

static bool glob_valid(struct str glob)
{
	for (size_t i = 0; i < glob.len; i++)
		if (!islower((unsigned char)glob.ptr[i]) && !isdigit((unsigned char)glob.ptr[i]) &&
			!strchr("._-/*?", glob.ptr[i]))
			return false;
	return glob.len && glob.len <= GLOB_MAX_LEN;
}

static struct err *check_repositories(const struct token *spec)
{
	const struct strvec *globs = &spec->repositories;
	if (globs->len > TOKEN_REPOSITORIES_MAX)
		return err_new(ERR_INVALID, "a token takes at most %d repositories", TOKEN_REPOSITORIES_MAX);
	for (size_t i = 0; i < globs->len; i++)
		if (!glob_valid(str_c(globs->ptr[i])))
			return err_hint(err_new(ERR_INVALID, "\"%.100s\" is no pattern of repositories",
						globs->ptr[i]),
				"write names as in the registry, without its host; * is any characters: "
				"homelab/*");
	if (globs->len && spec->scopes & ~(unsigned)(SCOPE_PUSH | SCOPE_PULL))
		return err_new(ERR_INVALID,
			"the token %s is limited to repositories: it takes the scopes push and pull alone",
			spec->name);
	return NULL;
}

static struct err *check_spec(const struct token *spec)
{
	if (!token_name_valid(str_c(spec->name)))
		return err_hint(err_new(ERR_INVALID, "\"%s\" cannot be the name of a token",
					spec->name ? spec->name : ""),
			"letters, digits, . _ and -, at most %d, beginning with a letter or digit",
			NAME_MAX_LEN);
	if (!(spec->scopes & SCOPE_ALL))
		return err_hint(err_new(ERR_INVALID, "the token %s has no scope", spec->name),
			"scopes are " SCOPES_TEXT);
	return check_repositories(spec);
}

static struct err *create_in_tx(struct store *s, struct token *t, const struct digest *hash)
{
	AUTO(tokens_fini) struct vec list = VEC_OF(struct token);
	TRY(tokens_list(s, &list));
	if (find(&list, t->name))
		return err_hint(err_new(ERR_EXISTS, "there is a token %s already", t->name),
			"delete it first, or take another name");
	if (list.len >= TOKENS_MAX)
		return err_new(ERR_NO_SPACE, "there are %zu tokens; more are not kept", list.len);
	AUTO_FREE char *value = encode(t, hash);
	return store_record_put(
		s, &(struct store_record){.space = SPACE, .key = t->id, .value = str_c(value)});
}

struct err *token_create(
	struct store *s, const struct token *spec, char text[TOKEN_TEXT_MAX], struct token *out)
{
	char secret[2 * SECRET_BYTES + 1];
	struct digest hash;
	TRY(check_spec(spec));
	AUTO(token_fini)
	struct token t = {.name = mem_strdup(spec->name),
		.scopes = spec->scopes & SCOPE_ALL,
		.created = clock_now(),
		.expires = spec->expires};
	for (size_t i = 0; i < spec->repositories.len; i++)
		strvec_push(&t.repositories, spec->repositories.ptr[i]);
	random_hex(t.id, TOKEN_ID_LEN / 2);
	random_hex(secret, SECRET_BYTES);
	snprintf(text, TOKEN_TEXT_MAX, PREFIX "%s_%s", t.id, secret);
	explicit_bzero(secret, sizeof(secret));
	digest_of(text, strlen(text), &hash);
	TRY(store_begin(s));
	struct err *e = create_in_tx(s, &t, &hash);
	if (e) {
		store_rollback(s);
		return e;
	}
	TRY(store_commit(s));
	if (out) {
		*out = t;
		t = (struct token){0};
	}
	return NULL;
}

static struct err *no_such_token(const struct vec *list, const char *name)
{
	AUTO_BUF struct buf names = {0};
	for (size_t i = 0; i < list->len; i++)
		buf_addf(&names, "%s%s", i ? ", " : "", ((const struct token *)vec_at(list, i))->name);
	struct err *e = err_new(ERR_NOT_FOUND, "there is no token %s", name);
	return names.len ? err_hint(e, "there are: %s", buf_cstr(&names)) : e;
}

struct err *token_delete(struct store *s, const char *name)
{
	AUTO(tokens_fini) struct vec list = VEC_OF(struct token);
	bool deleted = false;
	TRY(tokens_list(s, &list));
	const struct token *t = find(&list, name);
	if (t)
		TRY(store_record_delete(s, SPACE, t->id, &deleted));
	return deleted ? NULL : no_such_token(&list, name);
}

/* ---- checking ---- */

/* The id of a text that has the form of a token. */
static bool take_apart(struct str text, char id[TOKEN_ID_LEN + 1])
{
	size_t prefix = strlen(PREFIX);
	if (text.len != prefix + TOKEN_ID_LEN + 1 + (size_t)2 * SECRET_BYTES || !str_starts(text, PREFIX) ||
		text.ptr[prefix + TOKEN_ID_LEN] != '_')
		return false;
	for (size_t i = 0; i < TOKEN_ID_LEN; i++)
		if (!isxdigit((unsigned char)text.ptr[prefix + i]))
			return false;
	memcpy(id, text.ptr + prefix, TOKEN_ID_LEN);
	id[TOKEN_ID_LEN] = '\0';
	return true;
}

/* Deleted and expired ones are not found. */
static struct err *look_up(
	struct store *s, const char *id, struct token *out, struct digest *hash, bool *found)
{
	AUTO_BUF struct buf value = {0};
	AUTO(token_fini) struct token t = {0};
	bool there = false;
	*found = false;
	TRY(store_record_get(s, SPACE, id, &value, &there));
	if (!there)
		return NULL;
	TRY(decode(id, buf_str(&value), &t, hash));
	*found = !t.expires || clock_now() < t.expires;
	*out = t;
	t = (struct token){0};
	return NULL;
}

struct err *token_check(struct store *s, struct str text, struct token *out, bool *found)
{
	char id[TOKEN_ID_LEN + 1];
	AUTO(token_fini) struct token t = {0};
	struct digest kept, shown;
	bool there = false;
	*found = false;
	if (!take_apart(text, id))
		return NULL;
	TRY(look_up(s, id, &t, &kept, &there));
	digest_of(text.ptr, text.len, &shown);
	if (!there || !digest_eq_secret(&kept, &shown))
		return NULL;
	*out = t;
	t = (struct token){0};
	*found = true;
	return NULL;
}

struct err *token_by_id(struct store *s, const char *id, struct token *out, bool *found)
{
	struct digest hash;
	return look_up(s, id, out, &hash, found);
}

#define USED_COARSE (60 * CLOCK_SECOND)

struct err *token_used(struct store *s, const char *id, int64_t when)
{
	AUTO_BUF struct buf value = {0};
	AUTO(token_fini) struct token t = {0};
	struct digest hash;
	bool there = false, swapped = false;
	TRY(store_record_get(s, SPACE, id, &value, &there));
	if (!there)
		return NULL;
	TRY(decode(id, buf_str(&value), &t, &hash));
	if (t.used && when - t.used < USED_COARSE)
		return NULL;
	t.used = when;
	AUTO_FREE char *fresh = encode(&t, &hash);
	const struct store_record r = {.space = SPACE, .key = id, .value = str_c(fresh)};
	struct str expect = buf_str(&value);
	/* Not put blindly: a token that is deleted meanwhile would come back. */
	return store_record_swap(s, &r, &expect, &swapped);
}
