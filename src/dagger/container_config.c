/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "dagger/dagger_schema.h"
#include "oci/reference.h"

#include <ctype.h>
#include <string.h>

/* ---- making and copying ---- */

static void container_fini(void *p)
{
	struct container *ct = p;

	json_unrefp(&ct->config);
	vec_fini(&ct->mounts);
	vec_fini(&ct->secret_env);
	vec_fini(&ct->ports);
	vec_fini(&ct->services);
	strvec_fini(&ct->volatile_env);
	strvec_fini(&ct->annotations);
}

static struct container *container_empty(struct call *c)
{
	struct container *ct = OBJECT_NEW(c, "Container", container);

	ct->mounts = VEC_OF(struct container_mount);
	ct->secret_env = VEC_OF(struct secret_variable);
	ct->ports = VEC_OF(struct exposed_port);
	ct->services = VEC_OF(struct service_binding);
	keep_cleanup(c->d, container_fini, ct);
	return ct;
}

struct container *container_new(struct call *c, const char *platform)
{
	struct container *ct = container_empty(c);
	struct platform p = {0};

	snprintf(ct->platform, sizeof(ct->platform), "%s", platform);
	ct->config = json_object();
	err_ignore(platform_parse(platform, &p), "it was checked before");
	json_set_text(ct->config, "architecture", p.arch);
	json_set_text(ct->config, "os", p.os);
	if (*p.variant)
		json_set_text(ct->config, "variant", p.variant);
	json_object_set_new(ct->config, "config", json_object());
	return ct;
}

static void copy_vec(const struct vec *from, struct vec *to)
{
	for (size_t i = 0; i < from->len; i++)
		vec_push_copy(to, vec_at(from, i));
}

struct container *container_copy(struct call *c)
{
	const struct container *from = container_self(c);
	struct container *ct = container_empty(c);

	ct->root = from->root;
	ct->config = json_deep_copy(from->config);
	memcpy(ct->platform, from->platform, sizeof(ct->platform));
	copy_vec(&from->mounts, &ct->mounts);
	copy_vec(&from->secret_env, &ct->secret_env);
	copy_vec(&from->ports, &ct->ports);
	copy_vec(&from->services, &ct->services);
	strvec_push_all(&ct->volatile_env, strvec_list(&from->volatile_env));
	strvec_push_all(&ct->annotations, strvec_list(&from->annotations));
	ct->exec = from->exec;
	ct->made_workdir = from->made_workdir;
	return ct;
}

json_t *container_settings(const struct container *ct)
{
	return json_need_object(ct->config, "config");
}

struct err *container_variant(struct container *ct, struct session_variant *out)
{
	*out = (struct session_variant){
		.root = ct->root,
		.config = ct->config,
		.platform = ct->platform,
		.annotations = strvec_list(&ct->annotations),
	};
	return NULL;
}

void container_history(struct call *c, struct container *ct, const char *what)
{
	json_t *history = json_object_get(ct->config, "history");
	json_t *entry = json_object();
	char created[CLOCK_TEXT_MAX];

	if (!json_is_array(history)) {
		history = json_array();
		json_object_set_new(ct->config, "history", history);
	}
	clock_rfc3339(session_created(c->d->session), created);
	json_set_text(entry, "created", created);
	json_set_text(entry, "created_by", what);
	json_set_text(entry, "comment", "cooper.dagger.v1");
	json_array_append_new(history, entry);
	json_set_text(ct->config, "created", created);
}

/* ---- environment ---- */

static const char *env_entry(const json_t *env, const char *name, size_t *index)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < json_array_size(env); i++) {
		const char *kv = json_string_value(json_array_get(env, i));
		if (kv && strncmp(kv, name, len) == 0 && kv[len] == '=') {
			*index = i;
			return kv + len + 1;
		}
	}
	return NULL;
}

static const char *container_env(const struct container *ct, const char *name)
{
	size_t i;

	return env_entry(json_object_get(container_settings(ct), "Env"), name, &i);
}

void container_set_env(struct container *ct, const char *name, const char *value)
{
	json_t *settings = container_settings(ct), *env = json_object_get(settings, "Env");
	AUTO_FREE char *kv = mem_printf("%s=%s", name, value);
	size_t i;

	if (!json_is_array(env)) {
		env = json_array();
		json_object_set_new(settings, "Env", env);
	}
	if (env_entry(env, name, &i))
		json_array_set_new(env, i, json_text(kv));
	else
		json_array_append_new(env, json_text(kv));
}

static bool is_name(char ch)
{
	return isalnum((unsigned char)ch) || ch == '_';
}

/* The variable that "$..." at s names; *len what it takes of the text. */
static struct str variable_at(const char *s, size_t *len)
{
	if (s[1] == '{') {
		const char *end = strchr(s, '}');
		*len = end ? (size_t)(end - s) + 1 : 0;
		return end ? str_n(s + 2, (size_t)(end - s) - 2) : (struct str){0};
	}
	size_t n = 1;
	while (is_name(s[n]))
		n++;
	*len = n > 1 ? n : 0;
	return str_n(s + 1, n - 1);
}

static bool is_secret_variable(const struct container *ct, const char *name)
{
	for (size_t i = 0; i < ct->secret_env.len; i++)
		if (cstr_eq(((struct secret_variable *)vec_at(&ct->secret_env, i))->name, name))
			return true;
	return false;
}

struct err *container_expand(
	struct call *c, const struct container *ct, const char *text, bool expand, const char **out)
{
	AUTO_BUF struct buf b = {0};

	*out = text;
	if (!expand || !text)
		return NULL;
	for (const char *s = text; *s;) {
		size_t len = 0;
		struct str name = *s == '$' ? variable_at(s, &len) : (struct str){0};
		if (!len) {
			buf_addc(&b, *s++);
			continue;
		}
		const char *key = arena_strndup(c->arena, name.ptr, name.len);
		if (is_secret_variable(ct, key))
			return err_new(
				ERR_INVALID, "expand cannot be used with the secret variable \"%s\"", key);
		const char *value = container_env(ct, key);
		buf_adds(&b, value ? value : "");
		s += len;
	}
	*out = arena_strdup(c->arena, buf_cstr(&b));
	return NULL;
}

const char *container_workdir(const struct container *ct)
{
	const char *dir = json_string_value(json_object_get(container_settings(ct), "WorkingDir"));

	return dir && *dir ? dir : "/";
}

struct err *container_path(
	struct call *c, const struct container *ct, unsigned path_arg, int expand_arg, const char **out)
{
	const char *path = NULL;

	TRY(container_expand(
		c, ct, arg_text(c, path_arg), expand_arg >= 0 && arg_flag(c, (unsigned)expand_arg), &path));
	*out = path_at(c->d, container_workdir(ct), path);
	return NULL;
}

const char *container_owner(struct call *c, const char *owner)
{
	if (!owner || !*owner)
		return NULL;
	bool number = owner[strspn(owner, "0123456789")] == '\0';
	bool whole = strchr(owner, ':') || number;
	return keep_text(c->d, whole ? owner : arena_printf(c->arena, "%s:=", owner));
}

/* ---- what is asked ---- */

static struct err *give_setting(struct call *c, const char *key)
{
	const char *s = json_string_value(json_object_get(container_settings(container_self(c)), key));

	gql_out_string(c->out, str_c(s ? s : ""));
	return NULL;
}

static struct err *give_list(struct call *c, const char *key)
{
	const json_t *list = json_object_get(container_settings(container_self(c)), key);
	struct gql_out *items = gql_out_list(c->out, json_array_size(list));

	for (size_t i = 0; i < json_array_size(list); i++)
		gql_out_string(&items[i], str_c(json_string_value(json_array_get(list, i))));
	return NULL;
}

struct err *resolve_container_user(struct call *c)
{
	return give_setting(c, "User");
}

struct err *resolve_container_workdir(struct call *c)
{
	return give_setting(c, "WorkingDir");
}

struct err *resolve_container_entrypoint(struct call *c)
{
	return give_list(c, "Entrypoint");
}

struct err *resolve_container_default_args(struct call *c)
{
	return give_list(c, "Cmd");
}

struct err *resolve_container_platform(struct call *c)
{
	gql_out_string(c->out, str_c(container_self(c)->platform));
	return NULL;
}

struct pair *pair_new(struct call *c, const char *type, const char *name, const char *value)
{
	struct pair *p = OBJECT_NEW(c, type, pair);

	p->name = keep_text(c->d, name);
	p->value = keep_text(c->d, value);
	return p;
}

struct err *resolve_container_env_variables(struct call *c)
{
	const json_t *env = json_object_get(container_settings(container_self(c)), "Env");
	void **list = arena_array(c->arena, json_array_size(env) + 1, sizeof(*list));
	size_t count = 0;

	for (size_t i = 0; i < json_array_size(env); i++) {
		const char *kv = json_string_value(json_array_get(env, i));
		const char *eq = kv ? strchr(kv, '=') : NULL;
		if (eq)
			list[count++] = pair_new(
				c, "EnvVariable", arena_strndup(c->arena, kv, (size_t)(eq - kv)), eq + 1);
	}
	call_give_list(c, list, count);
	return NULL;
}

struct err *resolve_container_env_variable(struct call *c)
{
	const char *value = container_env(container_self(c), arg_text(c, ARG_Container_envVariable_name));

	if (value)
		gql_out_string(c->out, str_c(value));
	else
		gql_out_null(c->out);
	return NULL;
}

struct err *resolve_container_labels(struct call *c)
{
	json_t *labels = json_object_get(container_settings(container_self(c)), "Labels");
	AUTO_STRVEC struct strvec names = {0};
	void **list = arena_array(c->arena, json_object_size(labels) + 1, sizeof(*list));
	const char *key;
	json_t *value;

	json_object_foreach(labels, key, value) strvec_push(&names, key);
	strvec_sort(&names);
	for (size_t i = 0; i < names.len; i++)
		list[i] = pair_new(
			c, "Label", names.ptr[i], json_string_value(json_object_get(labels, names.ptr[i])));
	call_give_list(c, list, names.len);
	return NULL;
}

struct err *resolve_container_label(struct call *c)
{
	const json_t *labels = json_object_get(container_settings(container_self(c)), "Labels");
	const char *value = json_string_value(json_object_get(labels, arg_text(c, ARG_Container_label_name)));

	if (value)
		gql_out_string(c->out, str_c(value));
	else
		gql_out_null(c->out);
	return NULL;
}

static struct pair *pair_self(struct call *c)
{
	return (struct pair *)(void *)c->self;
}

struct err *resolve_env_variable_name(struct call *c)
{
	gql_out_string(c->out, str_c(pair_self(c)->name));
	return NULL;
}

struct err *resolve_env_variable_value(struct call *c)
{
	gql_out_string(c->out, str_c(pair_self(c)->value));
	return NULL;
}

struct err *resolve_label_name(struct call *c)
{
	return resolve_env_variable_name(c);
}

struct err *resolve_label_value(struct call *c)
{
	return resolve_env_variable_value(c);
}
