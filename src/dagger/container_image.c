/* SPDX-License-Identifier: Apache-2.0 */
/* Images in and out of containers. */
#include "base/duration.h"
#include "base/mem.h"
#include "base/path.h"
#include "dagger/dagger_schema.h"
#include "oci/reference.h"

#include <string.h>
#include <unistd.h>

/* ---- in ---- */

/* An image's settings over those that ct has: the image wins, what both may add to is merged. */
static void merge_object(json_t *into, const json_t *from, const char *key)
{
	json_t *have = json_object_get(into, key);

	if (json_is_object(have) && json_is_object(json_object_get(from, key)))
		json_object_update(have, json_object_get(from, key));
	else if (json_is_object(json_object_get(from, key)))
		json_object_set_new(into, key, json_deep_copy(json_object_get(from, key)));
}

static void take_settings(struct container *ct, const json_t *image)
{
	static const char *const replaced[] = {"Cmd", "Entrypoint", "User", "WorkingDir", "Volumes",
		"Healthcheck", "StopSignal", "Shell", "OnBuild"};
	json_t *settings = container_settings(ct);
	const json_t *from = json_object_get(image, "config");
	const json_t *env = json_object_get(from, "Env");

	for (size_t i = 0; i < ARRAY_LEN(replaced); i++) {
		json_t *v = json_object_get(from, replaced[i]);
		if (v && !json_is_null(v))
			json_object_set_new(settings, replaced[i], json_deep_copy(v));
		else
			json_object_del(settings, replaced[i]);
	}
	merge_object(settings, from, "Labels");
	merge_object(settings, from, "ExposedPorts");
	for (size_t i = 0; i < json_array_size(env); i++) {
		const char *kv = json_string_value(json_array_get(env, i));
		const char *eq = kv ? strchr(kv, '=') : NULL;
		if (!eq)
			continue;
		AUTO_FREE char *name = mem_strndup(kv, (size_t)(eq - kv));
		container_set_env(ct, name, eq + 1);
	}
}

static void take_document(struct container *ct, const json_t *image)
{
	static const char *const kept[] = {
		"architecture", "os", "variant", "os.version", "os.features", "author"};
	struct platform p = {0};

	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		json_t *v = json_object_get(image, kept[i]);
		if (v)
			json_object_set_new(ct->config, kept[i], json_deep_copy(v));
	}
	json_t *history = json_object_get(image, "history");
	if (json_is_array(history))
		json_object_set_new(ct->config, "history", json_deep_copy(history));
	else
		json_object_del(ct->config, "history");
	snprintf(p.os, sizeof(p.os), "%s", json_string_value(json_object_get(ct->config, "os")));
	snprintf(
		p.arch, sizeof(p.arch), "%s", json_string_value(json_object_get(ct->config, "architecture")));
	const char *variant = json_string_value(json_object_get(ct->config, "variant"));
	snprintf(p.variant, sizeof(p.variant), "%s", variant ? variant : "");
	platform_text(&p, ct->platform);
}

static struct err *container_from_image(struct call *c, struct container *ct, const char *address)
{
	AUTO(reference_fini) struct reference ref = {0};
	AUTO_BUF struct buf text = {0};
	AUTO_JSON json_t *image = NULL;
	AUTO_FREE char *pinned = NULL;

	TRY(reference_parse(address, true, &ref));
	AUTO_FREE char *name = reference_text(&ref);
	TRY(session_image_config(c->d->session, name, ct->platform, &text, &pinned));
	TRY(json_parse(buf_str(&text), name, &image));
	const struct op op = {
		.kind = OP_IMAGE, .image = {.ref = pinned, .platform = keep_text(c->d, ct->platform)}};
	AUTO_FREE char *shown = reference_familiar(&ref);
	const struct node_label label = {.name = arena_printf(c->arena, "from %s", shown)};
	TRY(session_node(c->d->session, &op, NULL, 0, &label, &ct->root));
	take_settings(ct, image);
	take_document(ct, image);
	ct->image_ref = keep_text(c->d, pinned);
	ct->made_workdir = NULL;
	return NULL;
}

struct err *resolve_container_from(struct call *c)
{
	struct container *ct = container_copy(c);

	if (arg_given(c, ARG_Container_from_registryService))
		return err_new(ERR_UNSUPPORTED, "not supported by cooper: Container.from(registryService)");
	TRY(container_from_image(c, ct, arg_text(c, ARG_Container_from_address)));
	call_give(c, ct);
	return NULL;
}

struct err *container_of_address(struct call *c, const char *address)
{
	struct platform p;
	char text[128];

	platform_host(&p);
	struct container *ct = container_new(c, platform_text(&p, text));
	TRY(container_from_image(c, ct, address));
	call_give(c, ct);
	return NULL;
}

struct err *resolve_host_container_image(struct call *c)
{
	return container_of_address(c, arg_text(c, ARG_Host_containerImage_name));
}

/* A name for what an archive brought, good for as long as the store keeps it. */
struct err *resolve_container_import(struct call *c)
{
	struct container *ct = container_copy(c);
	struct file *f = NULL;
	AUTO_FREE char *path = NULL;
	AUTO_FREE char *name = NULL;

	TRY(arg_object(c, ARG_Container_import_source, "File", (void **)&f));
	TRY(file_on_disk(c, f, &path));
	struct err *e = session_import(c->d->session, path, c->cancel, &name);
	unlink(path);
	TRY(e);
	TRY(container_from_image(c, ct, name));
	ct->image_ref = NULL;
	call_give(c, ct);
	return NULL;
}

/* ---- out ---- */

struct image_args {
	unsigned variants, compression, types;
};

static struct err *variant_of(struct call *c, struct container *ct, struct session_variant *out)
{
	AUTO(snapshot_fini) struct snapshot made = {0};

	/* Services that steps need are started by what asks for the files. */
	TRY(call_solve(c, ct->root, &made));
	return container_variant(ct, out);
}

static struct err *image_options(
	struct call *c, const struct image_args *a, struct session_image_options *opt)
{
	const char *compression = arg_text(c, a->compression), *types = arg_text(c, a->types);

	opt->cancel = c->cancel;
	opt->docker_types = types && strncasecmp(types, "docker", 6) == 0;
	if (!compression)
		return NULL;
	opt->recode = true;
	if (strcasecmp(compression, "gzip") == 0)
		opt->codec = CODEC_GZIP;
	else if (strcasecmp(compression, "zstd") == 0)
		opt->codec = CODEC_ZSTD;
	else if (strcasecmp(compression, "uncompressed") != 0)
		return err_new(
			ERR_UNSUPPORTED, "not supported by cooper: layers compressed with %s", compression);
	return NULL;
}

static bool is_empty(const struct container *ct)
{
	return !ct->root;
}

static struct err *make_image(struct call *c, const struct image_args *a, struct descriptor *out)
{
	size_t count, n = 0;
	const struct gql_value *items = arg_items(c, a->variants, &count);
	struct session_variant *variants = arena_array(c->arena, count + 1, sizeof(*variants));
	struct session_image_options opt = {0};
	struct container *self = container_self(c);

	TRY(image_options(c, a, &opt));
	/* With variants an empty container is only there to call on. */
	if (!count || !is_empty(self))
		TRY(variant_of(c, self, &variants[n++]));
	for (size_t i = 0; i < count; i++) {
		struct container *ct = NULL;
		TRY(item_object(c, &items[i], "Container", (void **)&ct));
		TRY(variant_of(c, ct, &variants[n++]));
	}
	return session_image(c->d->session, variants, n, &opt, out, NULL);
}

struct err *resolve_container_publish(struct call *c)
{
	const struct image_args a = {ARG_Container_publish_platformVariants,
		ARG_Container_publish_forcedCompression, ARG_Container_publish_mediaTypes};
	struct descriptor image = {0};
	AUTO_FREE char *name = NULL;

	if (arg_given(c, ARG_Container_publish_registryService))
		return err_new(
			ERR_UNSUPPORTED, "not supported by cooper: Container.publish(registryService)");
	TRY(make_image(c, &a, &image));
	TRY(session_publish(
		c->d->session, &image, arg_text(c, ARG_Container_publish_address), c->cancel, &name));
	gql_out_string(c->out, str_c(name));
	return NULL;
}

static struct err *write_archive(struct call *c, const struct image_args *a, const char *path)
{
	const char *types = arg_text(c, a->types);
	bool docker = types && strncasecmp(types, "docker", 6) == 0;
	struct descriptor image = {0};

	TRY(make_image(c, a, &image));
	return session_export_image(c->d->session, &image, docker, path, c->cancel);
}

struct err *resolve_container_export(struct call *c)
{
	const struct image_args a = {ARG_Container_export_platformVariants,
		ARG_Container_export_forcedCompression, ARG_Container_export_mediaTypes};
	const char *path = host_path(c, arg_text(c, ARG_Container_export_path));

	TRY(write_archive(c, &a, path));
	gql_out_string(c->out, str_c(path));
	return NULL;
}

struct err *resolve_container_as_tarball(struct call *c)
{
	const struct image_args a = {ARG_Container_asTarball_platformVariants,
		ARG_Container_asTarball_forcedCompression, ARG_Container_asTarball_mediaTypes};
	AUTO_FREE char *dir = NULL;

	TRY(session_scratch(c->d->session, &dir));
	AUTO_FREE char *path = path_join(dir, "image.tar");
	TRY(write_archive(c, &a, path));
	return file_of_disk(c, dir, "image.tar");
}

struct err *resolve_container_export_image(struct call *c)
{
	const struct image_args a = {ARG_Container_exportImage_platformVariants,
		ARG_Container_exportImage_forcedCompression, ARG_Container_exportImage_mediaTypes};
	struct descriptor image = {0};

	TRY(make_image(c, &a, &image));
	TRY(session_name_image(c->d->session, &image, arg_text(c, ARG_Container_exportImage_name)));
	gql_out_null(c->out);
	return NULL;
}

/* ---- health checks ---- */

static struct err *duration(const char *text, int64_t *ns)
{
	if (!duration_parse(text, ns))
		return err_hint(err_new(ERR_INVALID, "\"%s\" is not a duration", text), "write 30s or 1m30s");
	return NULL;
}

struct err *resolve_container_with_docker_healthcheck(struct call *c)
{
	static const struct {
		unsigned arg;
		const char *key;
	} times[] = {{ARG_Container_withDockerHealthcheck_interval, "Interval"},
		{ARG_Container_withDockerHealthcheck_timeout, "Timeout"},
		{ARG_Container_withDockerHealthcheck_startPeriod, "StartPeriod"},
		{ARG_Container_withDockerHealthcheck_startInterval, "StartInterval"}};
	struct container *ct = container_copy(c);
	AUTO_STRVEC struct strvec args = {0}, test = {0};
	json_t *check = json_object();

	arg_texts(c, ARG_Container_withDockerHealthcheck_args, &args);
	bool shell = arg_flag(c, ARG_Container_withDockerHealthcheck_shell);
	strvec_push(&test, shell ? "CMD-SHELL" : "CMD");
	strvec_push_all(&test, strvec_list(&args));
	json_object_set_new(check, "Test", json_from_strings(strvec_list(&test)));
	json_object_set_new(container_settings(ct), "Healthcheck", check);
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		int64_t ns = 0;
		if (!arg_given(c, times[i].arg))
			continue;
		TRY(duration(arg_text(c, times[i].arg), &ns));
		json_object_set_new(check, times[i].key, json_integer(ns));
	}
	if (arg_given(c, ARG_Container_withDockerHealthcheck_retries))
		json_object_set_new(check, "Retries",
			json_integer(arg_int(c, ARG_Container_withDockerHealthcheck_retries, 0)));
	call_give(c, ct);
	return NULL;
}

struct err *resolve_container_without_docker_healthcheck(struct call *c)
{
	struct container *ct = container_copy(c);

	json_object_del(container_settings(ct), "Healthcheck");
	call_give(c, ct);
	return NULL;
}

struct err *resolve_container_docker_healthcheck(struct call *c)
{
	json_t *check = json_object_get(container_settings(container_self(c)), "Healthcheck");

	if (!check)
		return err_new(ERR_NOT_FOUND, "the container has no health check");
	struct health *h = OBJECT_NEW(c, "HealthcheckConfig", health);
	h->check = check;
	call_give(c, h);
	return NULL;
}

static json_t *health_self(struct call *c)
{
	return ((struct health *)(void *)c->self)->check;
}

struct err *resolve_healthcheck_config_args(struct call *c)
{
	const json_t *test = json_object_get(health_self(c), "Test");
	size_t n = json_array_size(test);
	struct gql_out *items = gql_out_list(c->out, n ? n - 1 : 0);

	for (size_t i = 1; i < n; i++)
		gql_out_string(&items[i - 1], str_c(json_string_value(json_array_get(test, i))));
	return NULL;
}

struct err *resolve_healthcheck_config_shell(struct call *c)
{
	const json_t *test = json_object_get(health_self(c), "Test");

	gql_out_bool(c->out, cstr_eq(json_string_value(json_array_get(test, 0)), "CMD-SHELL"));
	return NULL;
}

static struct err *give_duration(struct call *c, const char *key)
{
	AUTO_BUF struct buf text = {0};

	duration_text(json_integer_value(json_object_get(health_self(c), key)), &text);
	gql_out_string(c->out, buf_str(&text));
	return NULL;
}

struct err *resolve_healthcheck_config_interval(struct call *c)
{
	return give_duration(c, "Interval");
}

struct err *resolve_healthcheck_config_timeout(struct call *c)
{
	return give_duration(c, "Timeout");
}

struct err *resolve_healthcheck_config_start_period(struct call *c)
{
	return give_duration(c, "StartPeriod");
}

struct err *resolve_healthcheck_config_start_interval(struct call *c)
{
	return give_duration(c, "StartInterval");
}

struct err *resolve_healthcheck_config_retries(struct call *c)
{
	gql_out_int(c->out, json_integer_value(json_object_get(health_self(c), "Retries")));
	return NULL;
}
