/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "engine/engine_internal.h"

#include <string.h>

/*
 * The frontend needs an image's config to go on. The pin found here is handed to the solver, so that an image
 * is resolved once a build and config and layers are of the same image.
 */
static struct err *pin_image(struct build *b, const char *ref, const char *platform, enum pull_policy pull,
	const struct source_pin **out)
{
	AUTO(graph_freep) struct graph *g = graph_new();
	const struct op op = {.kind = OP_IMAGE, .image = {.ref = ref, .platform = platform, .pull = pull}};
	struct step_io io = {0, b->rq->events, b->rq->cancel};
	struct node *n = NULL;
	char key[DIGEST_TEXT_MAX];

	TRY(graph_node(g, &op, NULL, 0, NULL, &n));
	digest_text(node_digest(n), key);
	*out = map_get_c(b->pins, key);
	if (*out)
		return NULL;
	struct source_pin *p = mem_new(struct source_pin);
	struct err *e = b->ex->ops->pin(b->ex, n, &io, p);
	if (e) {
		source_pin_fini(p);
		mem_freep(&p);
		return e;
	}
	map_set_c(b->pins, key, p);
	*out = p;
	return NULL;
}

static struct err *read_config(struct build *b, const struct digest *manifest, struct buf *out)
{
	AUTO_BUF struct buf bytes = {0};
	struct manifest m = {0};

	TRY(store_blob_read(b->engine->store, manifest, MANIFEST_MAX, &bytes));
	struct err *e = manifest_parse(buf_str(&bytes), NULL, &m);
	if (!e)
		e = store_blob_read(b->engine->store, &m.config.digest, CONFIG_MAX, out);
	manifest_fini(&m);
	return e;
}

static struct err *host_image_config(void *ctx, const char *ref, const char *platform, enum pull_policy pull,
	struct buf *config, char **pinned)
{
	struct build *b = ctx;
	const struct source_pin *pin = NULL;

	TRY(pin_image(b, ref, platform, pull, &pin));
	TRY(read_config(b, &pin->digest, config));
	*pinned = mem_strdup(pin->text);
	return NULL;
}

static struct err *host_read_file(
	void *ctx, const char *local, const char *path, struct buf *out, bool *found)
{
	struct build *b = ctx;
	const struct build_request *rq = b->rq;

	for (size_t i = 0; i < rq->context_count; i++) {
		if (!cstr_starts(local, "context:") ||
			!cstr_eq(local + strlen("context:"), rq->contexts[i].name))
			continue;
		const struct local_source src = {.name = local, .dir = rq->contexts[i].value};
		return local_source_read(&src, path, CONFIG_MAX, out, found);
	}
	*found = false;
	return NULL;
}

static void named_contexts(const struct build *b, struct named_context *out)
{
	size_t local = 0;

	for (size_t i = 0; i < b->rq->context_count; i++) {
		const struct build_context_arg *arg = &b->rq->contexts[i];
		out[i].name = arg->name;
		if (cstr_starts(arg->value, "docker-image://"))
			out[i].image = arg->value + strlen("docker-image://");
		else if (strstr(arg->value, "://") || cstr_starts(arg->value, "git@"))
			out[i].url = arg->value;
		else
			out[i].local = b->context_names.ptr[local++];
	}
}

struct err *build_lower(struct build *b)
{
	const struct build_request *rq = b->rq;
	AUTO_FREE struct named_context *contexts = mem_array(rq->context_count + 1, sizeof(*contexts));
	const struct dockerfile_host host = {b, host_image_config, host_read_file};
	struct platform machine;
	char machine_text[128];

	named_contexts(b, contexts);
	platform_host(&machine);
	const struct dockerfile_request request = {
		.path = b->dockerfile_path,
		.text = buf_str(&b->dockerfile),
		.ignore_path = b->ignore_path,
		.ignore_text = buf_str(&b->ignore),
		.target = rq->target,
		.build_args = rq->build_args,
		.labels = rq->labels,
		.contexts = contexts,
		.context_count = rq->context_count,
		.platform = b->platform,
		.build_platform = platform_text(&machine, machine_text),
		.pull = rq->pull,
		.no_cache = rq->no_cache,
		.no_cache_stages = rq->no_cache_stages,
		.network = rq->network,
		.allow_insecure = rq->allow_insecure,
		.created = b->created,
		.proxy_env = strvec_list(&b->engine->settings->proxy_env),
		.host = &host,
		.events = rq->events,
	};
	return dockerfile_lower(&request, b->graph, &b->file);
}
