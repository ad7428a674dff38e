/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identity of objects: the digest of the object that was asked, the field and its arguments. So equal chains
 * of calls are one object, and an id can be followed back to the root.
 *
 * Record "local" "call:<id>": {"type", "parent" (id; absent: the root), "field" ("Container.withExec"),
 * "args" (object; or "argsBlob": digest of its text), "item" (place in a list)}.
 */
#include "base/mem.h"
#include "dagger/resolve_internal.h"

#include <string.h>

/* Longer ones are blobs of their own. */
#define ARGS_INLINE 4096
/* A chain of calls has this many links at most. */
#define CHAIN_MAX 100000

/* ---- memory ---- */

const char *keep_n(struct dagger *d, const char *p, size_t len)
{
	pthread_mutex_lock(&d->lock);
	char *copy = arena_strndup(d->arena, p, len);
	pthread_mutex_unlock(&d->lock);
	return copy;
}

const char *keep_text(struct dagger *d, const char *s)
{
	return s ? keep_n(d, s, strlen(s)) : NULL;
}

void keep_cleanup(struct dagger *d, void (*fn)(void *), void *p)
{
	pthread_mutex_lock(&d->lock);
	vec_push_copy(&d->cleanups, &(struct cleanup){fn, p});
	pthread_mutex_unlock(&d->lock);
}

void *object_new(struct call *c, const char *type, size_t size)
{
	pthread_mutex_lock(&c->d->lock);
	struct object *o = arena_alloc(c->d->arena, size);
	pthread_mutex_unlock(&c->d->lock);
	o->type = type;
	o->item = -1;
	return o;
}

void call_give_list(struct call *c, void *const *objects, size_t count)
{
	c->made = arena_array(c->arena, count + 1, sizeof(*c->made));
	for (size_t i = 0; i < count; i++)
		c->made[i] = objects[i];
	c->made_count = count;
	c->made_list = true;
}

void call_give(struct call *c, void *object)
{
	call_give_list(c, &object, 1);
	c->made_list = false;
}

/* ---- identity ---- */

static void add_value(struct buf *out, const struct gql_value *v)
{
	switch (v->kind) {
	case GQL_NULL:
		buf_adds(out, "null");
		return;
	case GQL_INT:
		buf_addf(out, "%lld", (long long)v->i);
		return;
	case GQL_FLOAT:
		buf_addf(out, "%.17g", v->f);
		return;
	case GQL_BOOL:
		buf_adds(out, v->b ? "true" : "false");
		return;
	case GQL_STRING:
	case GQL_ENUM:
		buf_add_json(out, v->s);
		return;
	case GQL_LIST:
		buf_addc(out, '[');
		for (size_t i = 0; i < v->list.count; i++) {
			if (i)
				buf_addc(out, ',');
			add_value(out, &v->list.items[i]);
		}
		buf_addc(out, ']');
		return;
	case GQL_OBJECT:
		buf_addc(out, '{');
		for (size_t i = 0; i < v->object.count; i++) {
			if (i)
				buf_addc(out, ',');
			buf_add_json(out, v->object.members[i].name);
			buf_addc(out, ':');
			add_value(out, &v->object.members[i].value);
		}
		buf_addc(out, '}');
	}
}

/* What must not be kept: the value of a secret that is given as text. */
static bool is_secret_text(const struct gql_field *f, const char *arg)
{
	return cstr_eq(gql_field_name(f), "setSecret") && cstr_eq(arg, "plaintext");
}

static void canonical_args(
	const struct gql_field *f, const struct gql_value *args, size_t count, struct buf *out)
{
	bool first = true;

	buf_addc(out, '{');
	for (size_t i = 0; i < count; i++) {
		const char *name = gql_field_arg_name(f, i);
		if (args[i].kind == GQL_NULL || is_secret_text(f, name))
			continue;
		if (!first)
			buf_addc(out, ',');
		first = false;
		buf_add_json(out, str_c(name));
		buf_addc(out, ':');
		add_value(out, &args[i]);
	}
	buf_addc(out, '}');
}

static void make_id(
	const struct object *parent, const struct gql_field *f, struct str args, int item, char out[ID_MAX])
{
	AUTO(hasher_freep) struct hasher *h = hasher_new(DIGEST_SHA256);
	struct digest digest;
	char hex[DIGEST_TEXT_MAX];

	hasher_add_field(h, STR("call-1"));
	hasher_add_field(h, str_c(parent->id));
	hasher_add_field(h, str_c(gql_field_type_name(f)));
	hasher_add_field(h, str_c(gql_field_name(f)));
	hasher_add_field(h, args);
	hasher_add_u64(h, (uint64_t)(item + 1));
	hasher_finish(h, &digest);
	snprintf(out, ID_MAX, "c%.48s", digest_hex(&digest, hex));
}

static struct object *known(struct dagger *d, const char *id)
{
	pthread_mutex_lock(&d->lock);
	struct object *o = map_get_c(d->objects, id);
	pthread_mutex_unlock(&d->lock);
	return o;
}

/* Give a new object its identity; the one that has it already wins. */
static struct object *adopt(struct call *c, struct object *o, const char *id, struct str args, int item)
{
	struct dagger *d = c->d;

	pthread_mutex_lock(&d->lock);
	struct object *other = map_get_c(d->objects, id);
	/* What a field passes on as it was keeps the identity it has. */
	if (!other && *o->id) {
		other = o;
		map_set_c(d->objects, id, o);
	} else if (!other) {
		snprintf(o->id, sizeof(o->id), "%s", id);
		o->parent = c->self;
		o->field = c->field;
		o->item = item;
		o->args = arena_str(d->arena, args);
		map_set_c(d->objects, id, o);
	}
	pthread_mutex_unlock(&d->lock);
	return other ? other : o;
}

/* ---- resolving ---- */

static void give_objects(struct call *c, struct str args, struct gql_out *out)
{
	char id[ID_MAX];
	struct gql_out *items = c->made_list ? gql_out_list(out, c->made_count) : out;

	for (size_t i = 0; i < c->made_count; i++) {
		int item = c->made_list ? (int)i : -1;
		make_id(c->self, c->field, args, item, id);
		struct object *o = adopt(c, c->made[i], id, args, item);
		gql_out_object(&items[i], o->type, o);
	}
}

static struct err *call_resolver(struct call *c, const struct dagger_binding *b)
{
	AUTO(arena_freep) struct arena *arena = arena_new();
	AUTO_BUF struct buf args = {0};
	char id[ID_MAX];

	c->arena = arena;
	canonical_args(c->field, c->args, c->arg_count, &args);
	make_id(c->self, c->field, buf_str(&args), -1, id);
	/* A secret's text is not part of its identity, but a new one counts. */
	struct object *o = cstr_eq(gql_field_name(c->field), "setSecret") ? NULL : known(c->d, id);
	if (o) {
		gql_out_object(c->out, o->type, o);
		return NULL;
	}
	struct err *e = b->resolve(c);
	services_release(c);
	TRY(e);
	if (c->made)
		give_objects(c, buf_str(&args), c->out);
	return NULL;
}

struct err *object_resolve(
	struct dagger *d, const struct gql_call *g, const struct cancel *cancel, struct gql_out *out)
{
	const struct dagger_binding *b = g->data;
	struct object *self = g->parent ? g->parent : &d->root;
	const char *name = gql_field_name(g->field), *type = gql_field_type_name(g->field);

	if (cstr_eq(name, "id") && self != &d->root) {
		TRY(object_store(d, self));
		gql_out_string(out, str_c(self->id));
		return NULL;
	}
	if (!b)
		return err_hint(err_new(ERR_UNSUPPORTED, "not supported by cooper: %s.%s", type, name),
			"docs/container-py.md says what is");
	struct call c = {.d = d,
		.field = g->field,
		.self = self,
		.args = g->args,
		.arg_count = g->arg_count,
		.cancel = cancel,
		.out = out};
	return call_resolver(&c, b);
}

/* ---- keeping ---- */

static struct err *store_one(struct dagger *d, struct object *o)
{
	struct store *store = session_store(d->session);
	AUTO_BUF struct buf value = {0};
	AUTO_FREE char *key = mem_printf("call:%s", o->id);
	char digest[DIGEST_TEXT_MAX];
	struct store_ref ref = {STORE_REF_BLOB, digest};
	size_t len = strlen(o->args);

	buf_addf(&value, "{\"type\":\"%s\",\"field\":\"%s.%s\",\"item\":%d", o->type,
		gql_field_type_name(o->field), gql_field_name(o->field), o->item);
	if (o->parent != &d->root)
		buf_addf(&value, ",\"parent\":\"%s\"", o->parent->id);
	if (len > ARGS_INLINE) {
		struct digest blob;
		TRY(store_blob_put(store, o->args, len, &blob));
		buf_addf(&value, ",\"argsBlob\":\"%s\"}", digest_text(&blob, digest));
	} else {
		buf_addf(&value, ",\"args\":%s}", o->args);
	}
	return store_record_put(store,
		&(struct store_record){"local", key, buf_str(&value), &ref, len > ARGS_INLINE ? 1 : 0});
}

struct err *object_store(struct dagger *d, struct object *o)
{
	for (; o && o != &d->root && !__atomic_load_n(&o->stored, __ATOMIC_ACQUIRE); o = o->parent) {
		TRY(store_one(d, o));
		__atomic_store_n(&o->stored, true, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* ---- making again ---- */

static void from_json(struct arena *a, const json_t *j, struct gql_value *out)
{
	*out = (struct gql_value){.kind = GQL_NULL};
	if (json_is_string(j)) {
		*out = (struct gql_value){
			.kind = GQL_STRING, .s = str_n(json_string_value(j), json_string_length(j))};
	} else if (json_is_integer(j)) {
		*out = (struct gql_value){.kind = GQL_INT, .i = json_integer_value(j)};
	} else if (json_is_real(j)) {
		*out = (struct gql_value){.kind = GQL_FLOAT, .f = json_real_value(j)};
	} else if (json_is_boolean(j)) {
		*out = (struct gql_value){.kind = GQL_BOOL, .b = json_is_true(j)};
	} else if (json_is_array(j)) {
		size_t n = json_array_size(j);
		struct gql_value *items = arena_array(a, n + 1, sizeof(*items));
		for (size_t i = 0; i < n; i++)
			from_json(a, json_array_get(j, i), &items[i]);
		*out = (struct gql_value){.kind = GQL_LIST, .list = {items, n}};
	} else if (json_is_object(j)) {
		struct gql_member *members = arena_array(a, json_object_size(j) + 1, sizeof(*members));
		size_t n = 0;
		const char *key;
		json_t *value;
		json_object_foreach((json_t *)(uintptr_t)j, key, value)
		{
			members[n].name = str_c(key);
			from_json(a, value, &members[n++].value);
		}
		*out = (struct gql_value){.kind = GQL_OBJECT, .object = {members, n}};
	}
}

static struct err *unknown_id(const char *id, const char *why)
{
	return err_hint(err_new(ERR_NOT_FOUND, "there is no object with the id \"%.64s\"%s", id, why),
		"ids are good on the store that gave them, until gc takes them");
}

static struct err *read_call(struct dagger *d, const char *id, json_t **out)
{
	AUTO_FREE char *key = mem_printf("call:%s", id);
	AUTO_BUF struct buf value = {0}, args = {0};
	AUTO_JSON json_t *o = NULL, *parsed = NULL;
	struct digest blob;
	bool found;

	TRY(store_record_get(session_store(d->session), "local", key, &value, &found));
	if (!found)
		return unknown_id(id, "");
	TRY(json_parse(buf_str(&value), "call record", &o));
	const char *digest = json_string_value(json_object_get(o, "argsBlob"));
	if (digest) {
		TRY(digest_parse(str_c(digest), &blob));
		TRY(store_blob_read(session_store(d->session), &blob, (size_t)1 << 30, &args));
		TRY(json_parse(buf_str(&args), "call arguments", &parsed));
		json_object_set(o, "args", parsed);
	}
	*out = steal(&o);
	return NULL;
}

/* The call that a record tells of, made again on self. */
static struct err *repeat(struct dagger *d, struct object *self, const json_t *o, const struct cancel *cancel)
{
	AUTO(arena_freep) struct arena *arena = arena_new();
	const char *field = json_string_value(json_object_get(o, "field"));
	const char *dot = field ? strchr(field, '.') : NULL;
	const struct gql_field *f = NULL;
	const struct dagger_binding *b = NULL;

	for (const struct dagger_binding *at = dagger_bindings; dot && at->type; at++)
		if (str_eq_c(str_n(field, (size_t)(dot - field)), at->type) && cstr_eq(dot + 1, at->field))
			b = at;
	if (b)
		f = gql_schema_field(d->schema, b->type, b->field);
	if (!f)
		return err_new(ERR_UNSUPPORTED, "this version does not know %s", field ? field : "the call");
	struct gql_value *args = arena_array(arena, gql_field_arg_count(f) + 1, sizeof(*args));
	for (size_t i = 0; i < gql_field_arg_count(f); i++)
		from_json(arena, json_object_get(json_object_get(o, "args"), gql_field_arg_name(f, i)),
			&args[i]);
	struct call c = {.d = d,
		.field = f,
		.self = self,
		.args = args,
		.arg_count = gql_field_arg_count(f),
		.cancel = cancel,
		.arena = arena};
	AUTO_BUF struct buf text = {0};
	struct err *e = b->resolve(&c);
	services_release(&c);
	TRY(e);
	canonical_args(f, args, c.arg_count, &text);
	for (size_t i = 0; i < c.made_count; i++) {
		char id[ID_MAX];
		int item = c.made_list ? (int)i : -1;
		make_id(self, f, buf_str(&text), item, id);
		adopt(&c, c.made[i], id, buf_str(&text), item);
	}
	return NULL;
}

/* From the nearest call that this session knows back to id. */
static struct err *load_chain(struct dagger *d, const char *id, const struct cancel *cancel)
{
	struct vec chain = VEC_OF(json_t *);
	AUTO_FREE char *at = mem_strdup(id);
	struct object *self = NULL;
	struct err *e = NULL;

	while (!e && !self && chain.len < CHAIN_MAX) {
		json_t *o = NULL;
		e = read_call(d, at, &o);
		if (e)
			break;
		vec_push_copy(&chain, &o);
		const char *parent = json_string_value(json_object_get(o, "parent"));
		self = parent ? known(d, parent) : &d->root;
		if (!self) {
			mem_freep(&at);
			at = mem_strdup(parent);
		}
	}
	for (size_t i = chain.len; !e && i-- > 0;) {
		e = repeat(d, self, *(json_t **)vec_at(&chain, i), cancel);
		if (!e && i > 0) {
			const char *next = json_string_value(
				json_object_get(*(json_t **)vec_at(&chain, i - 1), "parent"));
			self = known(d, next);
			if (!self)
				e = unknown_id(next, " any more");
		}
	}
	for (size_t i = 0; i < chain.len; i++)
		json_decref(*(json_t **)vec_at(&chain, i));
	vec_fini(&chain);
	return e;
}

struct err *object_load(
	struct dagger *d, const char *id, const char *type, const struct cancel *cancel, void **out)
{
	if (strlen(id) >= ID_MAX || id[0] != 'c')
		return unknown_id(id, ": it is not an id of this engine");
	struct object *o = known(d, id);
	if (!o) {
		TRY(load_chain(d, id, cancel));
		o = known(d, id);
	}
	if (!o)
		return unknown_id(id, " any more");
	if (type && !cstr_eq(o->type, type))
		return err_new(ERR_INVALID, "the id \"%s\" is of a %s, not of a %s", id, o->type, type);
	*out = o;
	return NULL;
}
