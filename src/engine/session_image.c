/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "engine/session_internal.h"
#include "oci/images.h"
#include "sys/file.h"

#include <string.h>

/* ---- sources ---- */

/* Wait for who looks at the source now. Gives its pin, or NULL: the caller is to look. */
static struct err *await_pin(
	struct session *s, const char *key, const struct cancel *cancel, const struct source_pin **out)
{
	struct err *e = NULL;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		*out = map_get_c(s->pins, key);
		if (*out || !map_has(s->pinning, str_c(key)))
			break;
		e = cancel_check(cancel);
		if (e)
			break;
		clock_cond_wait(&s->pinned, &s->lock, clock_monotonic() + CLOCK_SECOND / 10);
	}
	if (!e && !*out)
		map_set_c(s->pinning, key, s);
	pthread_mutex_unlock(&s->lock);
	return e;
}

/* A source pinned once for the session, also for the solves to come. */
static struct err *pin_source(
	struct session *s, const struct op *op, const struct cancel *cancel, const struct source_pin **out)
{
	struct step_io io = {0, s->events, cancel};
	struct node *n = NULL;
	char key[DIGEST_TEXT_MAX];

	TRY(session_node(s, op, NULL, 0, NULL, &n));
	digest_text(node_digest(n), key);
	TRY(await_pin(s, key, cancel, out));
	if (*out)
		return NULL;
	struct source_pin *p = mem_new(struct source_pin);
	struct err *e = s->ex->ops->pin(s->ex, n, &io, p);
	*out = p;
	pthread_mutex_lock(&s->lock);
	if (!e)
		map_set_c(s->pins, key, p);
	map_remove(s->pinning, str_c(key));
	pthread_cond_broadcast(&s->pinned);
	pthread_mutex_unlock(&s->lock);
	if (e) {
		source_pin_fini(p);
		mem_freep(&p);
	}
	return e;
}

struct err *session_pin(struct session *s, struct node *n, const struct cancel *cancel)
{
	const struct source_pin *pin = NULL;

	return pin_source(s, node_op(n), cancel, &pin);
}

static struct err *read_config(struct session *s, const struct digest *manifest, struct buf *out)
{
	AUTO_BUF struct buf bytes = {0};
	struct manifest m = {0};

	TRY(store_blob_read(s->engine->store, manifest, MANIFEST_MAX, &bytes));
	struct err *e = manifest_parse(buf_str(&bytes), NULL, &m);
	if (!e)
		e = store_blob_read(s->engine->store, &m.config.digest, CONFIG_MAX, out);
	manifest_fini(&m);
	return e;
}

struct err *session_image_config(
	struct session *s, const char *ref, const char *platform, struct buf *config, char **pinned)
{
	const struct op op = {
		.kind = OP_IMAGE, .image = {.ref = ref, .platform = platform, .pull = s->opt.pull}};
	const struct source_pin *pin = NULL;

	TRY(pin_source(s, &op, NULL, &pin));
	TRY(read_config(s, &pin->digest, config));
	*pinned = mem_strdup(pin->text);
	return NULL;
}

struct err *session_git_commit(
	struct session *s, const struct op_git *repo, const struct cancel *cancel, char **commit)
{
	const struct op op = {.kind = OP_GIT, .git = *repo};
	const struct source_pin *pin = NULL;

	TRY(pin_source(s, &op, cancel, &pin));
	*commit = mem_strdup(strrchr(pin->text, '#') + 1);
	return NULL;
}

/* ---- images ---- */

/* Steps that no program ran for in this session: the last look finds all of them. */
static unsigned count_cached(const struct session *s, const struct solve_result *solved)
{
	const struct solved_node *n;
	unsigned cached = 0;

	for (size_t i = 0; (n = solve_result_at(solved, i)); i++) {
		uint32_t step = node_number(n->node);
		bool ran = step < s->told.len && *(enum told *)vec_at(&s->told, step) == TOLD_RUN;
		cached += !op_is_source(node_op(n->node)->kind) && n->cached && !ran;
	}
	return cached;
}

static struct err *build_variant(struct session *s, const struct session_variant *v,
	const struct session_image_options *opt, bool first, struct build_result *out)
{
	struct build_request rq = s->rq;

	if (first) {
		rq.evaluated = opt->evaluated;
		rq.evaluated_root = opt->evaluated_root;
	}
	rq.cancel = opt->cancel;
	rq.codec = opt->codec;
	rq.annotations = v->annotations;
	AUTO(session_build_fini) struct build b = session_build(s, &rq);
	b.file.root = v->root;
	b.file.config = json_deep_copy(v->config);
	struct err *e = session_blame(s, v->root, build_make_image(&b, out));
	if (!e)
		out->cached = count_cached(s, b.solved);
	solve_result_free(b.solved);
	json_unrefp(&b.file.config);
	return e;
}

struct err *session_evaluate(struct session *s, const struct session_variant *v, const char *root,
	const struct cancel *cancel, struct evaluation *out)
{
	struct build_request rq = s->rq;

	rq.cancel = cancel;
	rq.annotations = v->annotations;
	AUTO(session_build_fini) struct build b = session_build(s, &rq);
	b.file.root = v->root;
	b.file.config = json_deep_copy(v->config);
	struct err *e = build_evaluate(&b, root, out);
	solve_result_free(b.solved);
	json_unrefp(&b.file.config);
	return e;
}

static int by_platform(const void *a, const void *b)
{
	const struct descriptor *x = a, *y = b;
	char left[128], right[128];

	return strcmp(platform_text(&x->platform, left), platform_text(&y->platform, right));
}

static struct err *put_index(struct session *s, struct vec *manifests, struct descriptor *out)
{
	char text[128];

	vec_sort(manifests, by_platform);
	for (size_t i = 1; i < manifests->len; i++) {
		const struct descriptor *d = vec_at(manifests, i);
		if (by_platform(d - 1, d) == 0)
			return err_new(ERR_INVALID, "two variants are for the platform %s",
				platform_text(&d->platform, text));
	}
	AUTO_FREE char *index = index_write(manifests->ptr, manifests->len, NULL);
	return images_put_manifest(s->engine->store, str_c(index), MEDIA_OCI_INDEX, out);
}

struct err *session_image(struct session *s, const struct session_variant *variants, size_t count,
	const struct session_image_options *opt, struct descriptor *out, struct build_result *result)
{
	struct vec manifests = VEC_OF(struct descriptor);
	const struct transfer_io io = {s->events, 0, opt->cancel};
	struct err *e = NULL;

	if (!count)
		return err_new(ERR_INVALID, "there is no container to make an image of");
	for (size_t i = 0; !e && i < count; i++) {
		struct build_result r = {0};
		e = build_variant(s, &variants[i], opt, i == 0, &r);
		if (!e && opt->recode)
			e = engine_recode_layers(s->engine, opt->codec, &io, &r.manifest);
		if (!e && opt->docker_types)
			e = engine_docker_manifest(s->engine, &r.manifest);
		struct descriptor *d = vec_push(&manifests);
		*d = r.manifest;
		d->has_platform = true;
		if (!e)
			e = platform_parse(variants[i].platform, &d->platform);
		if (!e && i == 0 && result) {
			*result = r;
			continue;
		}
		build_result_fini(&r);
	}
	if (!e && count == 1)
		*out = *(struct descriptor *)manifests.ptr;
	else if (!e)
		e = put_index(s, &manifests, out);
	out->has_platform = false;
	vec_fini(&manifests);
	return e;
}

struct err *session_publish(struct session *s, const struct descriptor *image, const char *address,
	const struct cancel *cancel, char **name)
{
	struct remote *remote = NULL;
	struct reference ref = {0};
	const struct transfer_io io = {s->events, 0, cancel};
	bool already = false;

	TRY(engine_remote(s->engine, &remote));
	TRY(reference_parse(address, true, &ref));
	bool tagged = strrchr(address, ':') && !strchr(strrchr(address, ':'), '/');
	struct err *e = engine_fetch_missing(s->engine, &image->digest, &io);
	if (!e)
		e = remote_push(remote, image, &ref, true, &io, &already);
	if (!e) {
		char digest[DIGEST_TEXT_MAX];
		*name = mem_printf("%s/%s%s%s@%s", ref.registry, ref.repository, tagged ? ":" : "",
			tagged ? ref.tag : "", digest_text(&image->digest, digest));
	}
	reference_fini(&ref);
	return e ? err_wrap(e, "publishing to %s", address) : NULL;
}

struct err *session_export_image(struct session *s, const struct descriptor *image, bool docker,
	const char *path, const struct cancel *cancel)
{
	const struct transfer_io io = {s->events, 0, cancel};

	TRY(engine_fetch_missing(s->engine, &image->digest, &io));
	return images_export(s->engine->store, image, NULL, docker ? IMAGE_DOCKER_ARCHIVE : IMAGE_OCI_ARCHIVE,
		path, cancel);
}

/* Named by its digest, so that it stays and equal ones are one. */
static struct err *name_by_digest(struct session *s, const struct stored_image *i, char **name)
{
	AUTO(reference_fini) struct reference ref = {0};
	struct descriptor d = {.digest = i->digest, .size = i->size};
	char digest[DIGEST_TEXT_MAX];

	memcpy(d.media_type, i->media_type, sizeof(d.media_type));
	AUTO_FREE char *text = mem_printf("cooper.invalid/imported@%s", digest_text(&i->digest, digest));
	TRY(reference_parse(text, false, &ref));
	TRY(images_set_name(s->engine->store, &ref, &d, "imported"));
	*name = steal(&text);
	return NULL;
}

struct err *session_import(struct session *s, const char *path, const struct cancel *cancel, char **name)
{
	struct vec names = VEC_OF(struct stored_image);
	AUTO(reference_fini) struct reference temporary = {0};
	AUTO_FREE char *fresh = mem_printf("cooper.invalid/imported:%lld", (long long)clock_now());
	const struct image_import im = {.path = path, .name = fresh, .cancel = cancel};
	bool removed = false;

	struct err *e = images_import(s->engine->store, &im, &names);
	if (!e)
		e = names.len ? name_by_digest(s, vec_at(&names, 0), name)
			      : err_new(ERR_INVALID, "the archive holds no image");
	if (!e)
		e = reference_parse(fresh, false, &temporary);
	if (!e)
		e = images_remove(s->engine->store, &temporary, &removed);
	for (size_t i = 0; i < names.len; i++)
		stored_image_fini(vec_at(&names, i));
	vec_fini(&names);
	return e;
}

struct err *session_name_image(struct session *s, const struct descriptor *image, const char *name)
{
	AUTO(reference_fini) struct reference ref = {0};

	TRY(reference_parse(name, true, &ref));
	return images_set_name(s->engine->store, &ref, image, "built");
}

struct err *session_auth(struct session *s, const char *host, const char *user, struct str password)
{
	struct remote *remote = NULL;

	TRY(engine_remote(s->engine, &remote));
	return remote_use_credentials(remote, host, user, password);
}

void session_auth_forget(struct session *s, const char *host)
{
	struct remote *remote = NULL;
	struct err *e = engine_remote(s->engine, &remote);

	if (!e)
		e = remote_use_credentials(remote, host, NULL, (struct str){0});
	err_ignore(e, "there was nothing to forget");
}

/* ---- Dockerfiles ---- */

static struct err *host_image_config(void *ctx, const char *ref, const char *platform, enum pull_policy pull,
	struct buf *config, char **pinned)
{
	(void)pull;
	return session_image_config(ctx, ref, platform, config, pinned);
}

static struct err *no_file(void *ctx, const char *local, const char *path, struct buf *out, bool *found)
{
	(void)ctx, (void)local, (void)path, (void)out;
	*found = false;
	return NULL;
}

#define DOCKERFILE_MAX (4u << 20)

/* Dockerfile and ignore file, from the context's files. */
static struct err *read_files(
	struct session *s, const struct session_dockerfile *d, struct buf *text, struct buf *ignore)
{
	AUTO_FD int view = -1;
	AUTO_FREE char *file = path_join(d->path, d->file ? d->file : "Dockerfile");
	AUTO_FREE char *own = mem_printf("%s.dockerignore", file);
	AUTO_FREE char *usual = path_join(d->path, ".dockerignore");
	bool found = false;

	TRY(session_view(s, d->context, d->cancel, &view));
	TRY(root_read(view, file, DOCKERFILE_MAX, text, &found));
	if (!found)
		return err_new(ERR_NOT_FOUND, "there is no %s in the directory to build",
			d->file ? d->file : "Dockerfile");
	TRY(root_read(view, own, DOCKERFILE_MAX, ignore, &found));
	return found ? NULL : root_read(view, usual, DOCKERFILE_MAX, ignore, &found);
}

struct err *session_dockerfile(
	struct session *s, const struct session_dockerfile *d, struct node **root, json_t **config)
{
	AUTO_BUF struct buf text = {0}, ignore = {0};
	const struct dockerfile_host host = {s, host_image_config, no_file};
	struct dockerfile_build built = {0};
	struct platform machine;
	char machine_text[128];

	TRY(read_files(s, d, &text, &ignore));
	platform_host(&machine);
	const struct dockerfile_request rq = {
		.path = d->file ? d->file : "Dockerfile",
		.text = buf_str(&text),
		.ignore_path = ".dockerignore",
		.ignore_text = buf_str(&ignore),
		.context = d->context,
		.context_path = d->path,
		.target = d->target,
		.build_args = d->build_args,
		.platform = d->platform,
		.build_platform = platform_text(&machine, machine_text),
		.pull = s->opt.pull,
		.no_cache = s->opt.no_cache,
		.created = s->created,
		.proxy_env = strvec_list(&s->engine->settings->proxy_env),
		.host = &host,
		.events = s->events,
	};
	/* Lowering asks for images, which makes nodes: it has the graph for itself only from node to node. */
	struct err *e = dockerfile_lower(&rq, s->graph, &built);
	if (!e) {
		*root = built.root;
		*config = steal(&built.config);
	}
	dockerfile_build_fini(&built);
	return e;
}
