/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/path.h"
#include "dagger/resolve_internal.h"

#include <string.h>

static const char schema_name[] = "schema.graphqls";

struct err *dagger_new(const struct dagger_options *opt, struct dagger **out)
{
	AUTO(gql_schema_freep) struct gql_schema *schema = NULL;

	TRY(gql_schema_parse(str_c(dagger_schema_text), schema_name, &schema));
	for (const struct dagger_binding *b = dagger_bindings; b->type; b++)
		TRY(gql_schema_bind(schema, b->type, b->field, b));
	struct dagger *d = mem_new(struct dagger);
	pthread_mutex_init(&d->lock, NULL);
	d->session = opt->session;
	d->events = opt->events;
	d->workdir = mem_strdup(opt->workdir);
	d->schema = steal(&schema);
	d->arena = arena_new();
	d->cleanups = VEC_OF(struct cleanup);
	d->objects = map_new(NULL);
	d->services = map_new(NULL);
	d->bound = map_new(NULL);
	random_hex(d->nonce, (sizeof(d->nonce) - 1) / 2);
	d->root = (struct object){.type = "Query", .item = -1, .stored = true};
	*out = d;
	return NULL;
}

void dagger_free(struct dagger *d)
{
	if (!d)
		return;
	services_stop(d);
	for (size_t i = d->cleanups.len; i-- > 0;) {
		struct cleanup *c = vec_at(&d->cleanups, i);
		c->fn(c->p);
	}
	vec_fini(&d->cleanups);
	map_free(d->services);
	map_free(d->bound);
	map_free(d->objects);
	arena_free(d->arena);
	gql_schema_free(d->schema);
	pthread_mutex_destroy(&d->lock);
	mem_freep(&d->workdir);
	mem_freep(&d);
}

/* ---- one request ---- */

struct request {
	struct dagger *d;
	const struct cancel *cancel;
};

static struct err *resolve(void *ctx, const struct gql_call *g, struct gql_out *out)
{
	struct request *r = ctx;

	return object_resolve(r->d, g, r->cancel, out);
}

/* As the clients' own error types want it. */
static json_t *exec_error(const struct node *failed, const struct session_output *o)
{
	json_t *x = json_object();
	struct str out = str_trim(buf_str(&o->out)), err = str_trim(buf_str(&o->err));

	json_set_text(x, "_type", "EXEC_ERROR");
	json_object_set_new(x, "cmd", json_from_strings(node_op(failed)->exec.argv));
	json_object_set_new(x, "exitCode", json_integer(o->code));
	json_object_set_new(x, "stdout", json_text_n(out.ptr ? out.ptr : "", out.len));
	json_object_set_new(x, "stderr", json_text_n(err.ptr ? err.ptr : "", err.len));
	return x;
}

static void explain(void *ctx, const struct err *e, struct buf *message, json_t **extensions)
{
	struct request *r = ctx;
	struct session_output o = {0};
	const struct node *failed = NULL;
	const char *hint = err_hint_text(e);

	if (err_kind(e) == ERR_EXITED)
		session_failure(r->d->session, err_subject(e), &failed, &o);
	if (failed) {
		const char *const *argv = node_op(failed)->exec.argv;
		buf_adds(message, "process \"");
		for (size_t i = 0; argv[i]; i++)
			buf_addf(message, "%s%s", i ? " " : "", argv[i]);
		buf_addf(message, "\" did not complete successfully: exit code: %d", o.code);
		*extensions = exec_error(failed, &o);
	} else {
		AUTO_FREE char *text = err_text(e);
		buf_adds(message, text);
	}
	if (hint)
		buf_addf(message, " (%s)", hint);
	session_output_fini(&o);
}

struct err *dagger_execute(struct dagger *d, struct str query, struct str operation, const json_t *variables,
	const struct cancel *cancel, struct buf *response)
{
	struct request r = {d, cancel};
	const struct gql_hooks hooks = {.resolve = resolve, .explain = explain, .ctx = &r, .cancel = cancel};
	const struct gql_request rq = {query, operation, variables};

	return gql_execute(d->schema, &rq, &hooks, response);
}

/* ---- a container, for who makes images ---- */

struct err *dagger_image_of(struct dagger *d, const char *id, struct session_variant *out)
{
	struct container *ct = NULL;

	TRY(object_load(d, id, "Container", NULL, (void **)&ct));
	return container_variant(ct, out);
}

/* ---- paths ---- */

static const char *rooted(struct dagger *d, const char *path)
{
	AUTO_FREE char *clean = path_rooted(path);
	AUTO_FREE char *full = mem_printf("/%s", clean);

	return keep_text(d, full);
}

const char *path_at(struct dagger *d, const char *base, const char *path)
{
	AUTO_FREE char *joined = path_resolve(base, path);

	return rooted(d, joined);
}

struct err *path_inside(struct dagger *d, const char *base, const char *path, const char **out)
{
	AUTO_FREE char *clean = path_clean(path);

	if (cstr_eq(clean, "..") || cstr_starts(clean, "../"))
		return err_new(ERR_INVALID, "%s leads out of the directory", path);
	AUTO_FREE char *joined = path_join(base, clean);
	*out = rooted(d, joined);
	return NULL;
}
