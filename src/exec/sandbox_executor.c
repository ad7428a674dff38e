/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/sandbox_executor.h"

#include "base/mem.h"
#include "exec/executor_internal.h"
#include "exec/step_internal.h"
#include "sys/userns.h"

#include <stdlib.h>
#include <string.h>

/* ---- options, copied ---- */

static const char *own(struct sandbox_executor *sx, const char *s)
{
	if (!s)
		return NULL;
	strvec_push(&sx->strings, s);
	return sx->strings.ptr[sx->strings.len - 1];
}

static const char *const *own_list(struct sandbox_executor *sx, const char *const *list)
{
	if (!list)
		return NULL;
	struct strvec *v = vec_push(&sx->lists);
	strvec_push_all(v, list);
	return strvec_list(v);
}

static void copy_locals(struct sandbox_executor *sx, const struct sandbox_executor_options *opt)
{
	sx->locals = mem_array(opt->local_count + 1, sizeof(*sx->locals));
	for (size_t i = 0; i < opt->local_count; i++) {
		const struct local_source *from = &opt->locals[i];
		sx->locals[i] = (struct local_source){
			.name = own(sx, from->name),
			.dir = own(sx, from->dir),
			.git_dir = own(sx, from->git_dir),
			.commit = own(sx, from->commit),
			.subdir = own(sx, from->subdir),
			.git_modes = from->git_modes,
		};
	}
	sx->local_count = opt->local_count;
}

static void copy_secrets(struct sandbox_executor *sx, const struct sandbox_executor_options *opt)
{
	sx->secrets = mem_array(opt->secret_count + 1, sizeof(*sx->secrets));
	for (size_t i = 0; i < opt->secret_count; i++) {
		const struct secret_source *from = &opt->secrets[i];
		struct secret_source *to = &sx->secrets[i];
		*to = (struct secret_source){
			.id = own(sx, from->id), .env = own(sx, from->env), .file = own(sx, from->file)};
		if (from->value.ptr)
			to->value = str_n(mem_dup(from->value.ptr, from->value.len), from->value.len);
	}
	sx->secret_count = opt->secret_count;
	sx->ssh = mem_array(opt->ssh_count + 1, sizeof(*sx->ssh));
	for (size_t i = 0; i < opt->ssh_count; i++)
		sx->ssh[i] = (struct ssh_source){
			.id = own(sx, opt->ssh[i].id), .socket = own(sx, opt->ssh[i].socket)};
	sx->ssh_count = opt->ssh_count;
}

static void copy_host(struct sandbox_executor *sx, const struct host_settings *from)
{
	sx->host = (struct host_settings){
		.ca_bundle = own(sx, from->ca_bundle),
		.env = own_list(sx, from->env),
		.nameservers = own_list(sx, from->nameservers),
		.search = own_list(sx, from->search),
		.extra_hosts = own_list(sx, from->extra_hosts),
	};
}

/* ---- operations ---- */

static struct err *op_pin(
	struct executor *ex, const struct node *n, const struct step_io *io, struct source_pin *out)
{
	struct sandbox_executor *sx = sandbox_of(ex);
	const struct op *op = node_op(n);
	switch (op->kind) {
	case OP_IMAGE:
		return image_pin(sx, &op->image, io, out);
	case OP_GIT:
		return git_pin(sx, &op->git, io, out);
	case OP_HTTP:
		return http_pin(sx, &op->http, io, out);
	case OP_LOCAL:
		return local_pin(sx, n, io, out);
	default:
		return err_new(ERR_BUG, "%s is not a source", op_kind_name(op->kind));
	}
}

static struct err *op_fetch(struct executor *ex, const struct node *n, const struct source_pin *pin,
	const struct step_io *io, struct snapshot *out)
{
	struct sandbox_executor *sx = sandbox_of(ex);
	const struct op *op = node_op(n);
	switch (op->kind) {
	case OP_IMAGE:
		return image_fetch(sx, &op->image, pin, io, out);
	case OP_GIT:
		return git_fetch(sx, &op->git, pin, io, out);
	case OP_HTTP:
		return http_fetch(sx, &op->http, pin, io, out);
	case OP_LOCAL:
		return local_fetch(sx, n, io, out);
	default:
		return err_new(ERR_BUG, "%s is not a source", op_kind_name(op->kind));
	}
}

static void merge(const struct node *n, const struct snapshot *const *inputs, struct snapshot *out)
{
	for (size_t i = 0; i < node_input_count(n); i++) {
		if (!inputs[i])
			continue;
		for (size_t k = 0; k < inputs[i]->layers.len; k++) {
			/* The same layer twice would be two entries of one overlay directory: its last place
			 * is the one that shows. */
			for (size_t o = 0; o < out->layers.len; o++) {
				if (strcmp(out->layers.ptr[o], inputs[i]->layers.ptr[k]) == 0) {
					strvec_remove(&out->layers, o);
					break;
				}
			}
			strvec_push(&out->layers, inputs[i]->layers.ptr[k]);
		}
	}
}

static struct err *diff(struct sandbox_executor *sx, const struct node *n,
	const struct snapshot *const *inputs, const struct step_io *io, struct snapshot *out)
{
	if (node_input_count(n) != 2)
		return err_new(ERR_BUG, "a diff has two inputs");
	static const struct snapshot empty;
	const struct strvec *lower = inputs[0] ? &inputs[0]->layers : &empty.layers;
	const struct strvec *upper = inputs[1] ? &inputs[1]->layers : &empty.layers;
	size_t common = 0;
	while (common < lower->len && common < upper->len &&
		strcmp(lower->ptr[common], upper->ptr[common]) == 0)
		common++;
	if (common < lower->len)
		return tree_diff(sx, inputs[0], inputs[1], io, out);
	for (size_t i = common; i < upper->len; i++)
		strvec_push(&out->layers, upper->ptr[i]);
	return NULL;
}

static struct err *mounted(struct sandbox_executor *sx, const struct node *n,
	const struct snapshot *const *inputs, struct snapshot *out)
{
	AUTO_BUF struct buf id = {0};
	const struct strvec *made = &inputs[1]->layers;

	TRY(kept_layer(sx->store, made->len ? made->ptr[made->len - 1] : "", node_op(n)->mount.target, &id));
	if (inputs[0])
		strvec_push_all(&out->layers, strvec_list(&inputs[0]->layers));
	strvec_push(&out->layers, buf_cstr(&id));
	return NULL;
}

static struct err *op_run(struct executor *ex, const struct node *n, const struct snapshot *const *inputs,
	const struct step_io *io, struct snapshot *out)
{
	struct sandbox_executor *sx = sandbox_of(ex);
	switch (node_op(n)->kind) {
	case OP_EXEC:
		return run_step(&sx->run, n, inputs, io, out);
	case OP_FILE:
		return file_run(sx, n, inputs, io, out);
	case OP_MERGE:
		merge(n, inputs, out);
		return NULL;
	case OP_DIFF:
		return diff(sx, n, inputs, io, out);
	case OP_MOUNT:
		return mounted(sx, n, inputs, out);
	default:
		return err_new(ERR_BUG, "%s is not run", op_kind_name(node_op(n)->kind));
	}
}

/* All files of a snapshot: its layers' contents in order. */
static struct err *whole_digest(
	struct sandbox_executor *sx, const struct snapshot *s, const struct step_io *io, struct digest *out)
{
	AUTO(hasher_freep) struct hasher *h = hasher_new(DIGEST_SHA256);
	for (size_t i = 0; s && i < s->layers.len; i++) {
		struct layer l;
		TRY(sandbox_need_diff_id(sx, s->layers.ptr[i], io, &l));
		hasher_add(h, l.diff_id.bytes, digest_len(l.diff_id.algo));
	}
	hasher_finish(h, out);
	return NULL;
}

static struct err *op_content_digest(struct executor *ex, const struct node *n, size_t i,
	const struct snapshot *input, const struct step_io *io, struct digest *out)
{
	struct sandbox_executor *sx = sandbox_of(ex);
	enum op_kind kind = node_op(n)->kind;
	const struct node *in = i < node_input_count(n) ? node_input(n, i) : NULL;
	bool local = in && node_op(in)->kind == OP_LOCAL && !input;
	if (kind == OP_FILE && (i > 0 || local))
		return file_input_digest(sx, n, i, input, io, out);
	if (kind == OP_EXEC && (i > 0 || local))
		return mounts_input_digest(sx, n, i, input, io, out);
	if (local)
		return err_new(ERR_BUG, "the digest of a directory as a whole is its pin");
	return whole_digest(sx, input, io, out);
}

static struct err *op_check(struct executor *ex, const struct snapshot *s, bool *usable)
{
	struct sandbox_executor *sx = sandbox_of(ex);
	*usable = true;
	for (size_t i = 0; *usable && i < s->layers.len; i++) {
		struct layer l;
		bool found;
		int64_t size = -1;
		TRY(store_layer_get(sx->store, s->layers.ptr[i], &l, &found));
		*usable = found && (l.tree[0] || digest_is_set(&l.blob));
		if (!*usable || l.tree[0])
			continue;
		/* A blob that is not here can only come from where an image did: such layers are known by
		 * their diff id first. */
		TRY(store_blob_stat(sx->store, &l.blob, &size));
		*usable = size >= 0 || (digest_is_set(&l.diff_id) && sx->remote);
	}
	return NULL;
}

static const struct executor_ops ops = {
	.pin = op_pin,
	.fetch = op_fetch,
	.run = op_run,
	.content_digest = op_content_digest,
	.check = op_check,
};

/* ---- life ---- */

static struct err *run_need_tree(void *ctx, const char *layer_id, const struct step_io *io, struct layer *out)
{
	return sandbox_need_tree(ctx, layer_id, io, out);
}

static void free_tree(void *t)
{
	file_tree_free(t);
}

struct err *sandbox_executor_new(const struct sandbox_executor_options *opt, struct executor **out)
{
	struct sandbox_executor *sx = mem_new(struct sandbox_executor);
	sx->base.ops = &ops;
	sx->store = opt->store;
	sx->remote = opt->remote;
	sx->lists = VEC_OF(struct strvec);
	sx->http_ca_file = mem_strdup(opt->http_ca_file);
	sx->host_dirs = opt->host_dirs;
	sx->trees = map_new(free_tree);
	pthread_mutex_init(&sx->http_lock, NULL);
	pthread_mutex_init(&sx->local_lock, NULL);
	copy_locals(sx, opt);
	copy_secrets(sx, opt);
	copy_host(sx, &opt->host);
	sx->run = (struct run_context){
		.store = opt->store,
		.cache = run_cache_new(opt->store),
		.host = &sx->host,
		.secrets = sx->secrets,
		.secret_count = sx->secret_count,
		.ssh = sx->ssh,
		.ssh_count = sx->ssh_count,
		.host_sockets = opt->host_dirs,
		.epoch = opt->epoch,
		.shell_on_failure = opt->shell_on_failure,
		.captured = opt->captured,
		.captured_ctx = opt->captured_ctx,
		.secret_lookup = opt->secret_lookup,
		.secret_ctx = opt->secret_ctx,
		.rootless = userns_is_rootless(),
		.need_tree = run_need_tree,
		.need_tree_ctx = sx,
	};
	*out = &sx->base;
	return NULL;
}

void sandbox_executor_free(struct executor *ex)
{
	if (!ex)
		return;
	struct sandbox_executor *sx = sandbox_of(ex);
	map_free(sx->trees);
	http_client_free(sx->http);
	run_cache_free(sx->run.cache);
	for (size_t i = 0; i < sx->secret_count; i++) {
		char *p = (char *)(uintptr_t)sx->secrets[i].value.ptr;
		if (p)
			explicit_bzero(p, sx->secrets[i].value.len);
		free(p);
	}
	free(sx->secrets);
	free(sx->ssh);
	free(sx->locals);
	for (size_t i = 0; i < sx->lists.len; i++)
		strvec_fini(vec_at(&sx->lists, i));
	vec_fini(&sx->lists);
	strvec_fini(&sx->strings);
	free(sx->http_ca_file);
	pthread_mutex_destroy(&sx->http_lock);
	pthread_mutex_destroy(&sx->local_lock);
	free(sx);
}
