/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions that change the config only. */
#include "dockerfile/lower_internal.h"

#include "base/duration.h"
#include "base/mem.h"

#include <ctype.h>
#include <string.h>

static void history(struct lower *lw, struct stage *st, const struct buf *text)
{
	stage_config_history(&st->config, buf_cstr(text), false, lw->created);
}

static void quoted_list(const struct strvec *list, struct buf *out)
{
	buf_addc(out, '[');
	for (size_t i = 0; i < list->len; i++) {
		if (i)
			buf_addc(out, ' ');
		buf_add_json(out, str_c(list->ptr[i]));
	}
	buf_addc(out, ']');
}

static void plain_list(const struct strvec *list, struct buf *out)
{
	buf_addc(out, '[');
	for (size_t i = 0; i < list->len; i++)
		buf_addf(out, "%s%s", i ? " " : "", list->ptr[i]);
	buf_addc(out, ']');
}

/* A name keeps its first place. */
static struct err *add_build_arg(struct stage *st, const char *key, const char *value)
{
	for (size_t i = 0; i < st->build_args.len; i++) {
		struct build_arg *b = vec_at(&st->build_args, i);
		if (strcmp(b->key, key) == 0) {
			b->value = value;
			return NULL;
		}
	}
	if (st->build_args.len == STAGE_VARIABLES_MAX)
		return err_new(ERR_INVALID, "more than %d ARGs", STAGE_VARIABLES_MAX);
	struct build_arg b = {key, value};
	vec_push_copy(&st->build_args, &b);
	return NULL;
}

static struct err *arg(struct lower *lw, struct stage *st, const struct instr *i)
{
	struct buf text AUTO_BUF = {0};
	buf_adds(&text, "ARG");
	for (size_t k = 0; k < i->node->arg_count; k++) {
		const struct ast_word *w = &i->node->args[k];
		const char *eq = strchr(w->text, '=');
		const char *key = eq ? arena_strndup(lw->a, w->text, (size_t)(eq - w->text)) : w->text;
		const char *value = lower_build_arg(lw, key);
		map_set_c(lw->used_args, key, lw);
		if (!value && eq) {
			struct ast_word rest = {eq + 1, w->at};
			TRY(lower_expand(lw, st, &rest, &value));
		}
		if (!value)
			value = envlist_get(&lw->globals, key);
		value = arena_strdup(lw->a, value);
		bool exported = !cstr_eq(key, "BUILDKIT_SBOM_SCAN_CONTEXT") &&
				!cstr_eq(key, "BUILDKIT_SBOM_SCAN_STAGE");
		if (value && exported)
			TRY(lower_at(lw, st, w->at, lower_set_variable(&st->env, key, value)));
		TRY(lower_at(lw, st, w->at, add_build_arg(st, key, value)));
		buf_addf(&text, " %s%s%s", key, value ? "=" : "", value ? value : "");
	}
	history(lw, st, &text);
	return NULL;
}

/* ENV and LABEL: every pair sees the values from before the instruction. */
static struct err *pairs(struct lower *lw, struct stage *st, const struct instr *i)
{
	const struct ast_node *n = i->node;
	struct buf text AUTO_BUF = {0};
	buf_adds(&text, i->keyword == KW_ENV ? "ENV" : "LABEL");
	const char **kv = arena_array(lw->a, n->arg_count + 1, sizeof(*kv));
	for (size_t k = 0; k + 2 < n->arg_count; k += 3) {
		TRY(lower_expand(lw, st, &n->args[k], &kv[k]));
		TRY(lower_expand(lw, st, &n->args[k + 1], &kv[k + 1]));
		if (!*kv[k] || (i->keyword == KW_ENV && strchr(kv[k], '=')))
			return lower_at(lw, st, n->args[k].at,
				err_new(ERR_INVALID,
					"%s name \"%s\" is blank or has a '=' once expanded: \"%s\"", n->name,
					n->args[k].text, kv[k]));
		buf_addf(&text, " %s=%s", kv[k], kv[k + 1]);
	}
	for (size_t k = 0; k + 2 < n->arg_count; k += 3) {
		if (i->keyword == KW_LABEL) {
			stage_config_add_key(&st->config, "Labels", kv[k], json_text(kv[k + 1]));
			continue;
		}
		TRY(lower_at(lw, st, n->args[k].at, lower_set_variable(&st->env, kv[k], kv[k + 1])));
		envlist_set(&st->config.env, kv[k], kv[k + 1]);
	}
	history(lw, st, &text);
	return NULL;
}

/* CMD and ENTRYPOINT */
static struct err *command(struct lower *lw, struct stage *st, const struct instr *i)
{
	const struct ast_node *n = i->node;
	struct strvec argv AUTO_STRVEC = {0};
	if (!n->json) {
		stage_config_list(&st->config, "Shell", &argv);
		if (argv.len == 0) {
			strvec_push(&argv, "/bin/sh");
			strvec_push(&argv, "-c");
		}
	}
	for (size_t k = 0; k < n->arg_count; k++)
		strvec_push(&argv, n->args[k].text);
	struct buf text AUTO_BUF = {0};
	bool cmd = i->keyword == KW_CMD;
	buf_adds(&text, cmd ? "CMD " : "ENTRYPOINT ");
	quoted_list(&argv, &text);
	stage_config_set(&st->config, cmd ? "Cmd" : "Entrypoint", json_from_strings(strvec_list(&argv)));
	if (cmd) {
		st->cmd_set = true;
		stage_config_set(&st->config, "ArgsEscaped", json_true());
	} else if (!st->cmd_set) {
		stage_config_set(&st->config, "Cmd", NULL);
	}
	history(lw, st, &text);
	return NULL;
}

static struct err *port_number(const char *whole, struct str s, uint64_t *out)
{
	if (!str_to_u64(s, out) || *out > 65535)
		return err_new(ERR_INVALID, "invalid containerPort: %s", whole);
	return NULL;
}

/* "[[ip:]host:]port[-port][/protocol]" to "port/protocol" each. */
static struct err *add_ports(struct lower *lw, struct stage *st, const char *whole)
{
	struct str s = str_c(whole), proto = STR("tcp");
	ptrdiff_t slash = str_rindex(s, '/');
	if (slash >= 0) {
		proto = str_skip(s, (size_t)slash + 1);
		s.len = (size_t)slash;
	}
	const char *protos[] = {"tcp", "udp", "sctp"}, *name = NULL;
	for (size_t i = 0; i < ARRAY_LEN(protos); i++)
		if (str_eq_nocase(proto, protos[i]))
			name = protos[i];
	if (!name)
		return err_hint(err_new(ERR_INVALID, "invalid proto: " STR_FMT, STR_ARG(proto)),
			"it can be tcp, udp or sctp");
	ptrdiff_t colon = str_rindex(s, ':');
	if (colon >= 0)
		s = str_skip(s, (size_t)colon + 1);
	ptrdiff_t dash = str_index(s, '-');
	uint64_t first = 0, last = 0;
	TRY(port_number(whole, dash < 0 ? s : str_n(s.ptr, (size_t)dash), &first));
	TRY(port_number(whole, dash < 0 ? s : str_skip(s, (size_t)dash + 1), &last));
	if (last < first)
		return err_new(ERR_INVALID, "invalid range of ports: %s", whole);
	json_t *ports = json_object_get(st->config.config, "ExposedPorts");
	TRY(lower_charge(lw, (size_t)(last - first + 1 + json_object_size(ports)) * 128));
	ports = ports ? json_copy(ports) : json_object();
	for (uint64_t p = first; p <= last; p++) {
		char key[32];
		snprintf(key, sizeof(key), "%u/%s", (unsigned)p, name);
		json_object_set_new(ports, key, json_object());
	}
	stage_config_set(&st->config, "ExposedPorts", ports);
	return NULL;
}

static struct err *expose(struct lower *lw, struct stage *st, const struct instr *i)
{
	struct strvec raw AUTO_STRVEC = {0}, words AUTO_STRVEC = {0};
	for (size_t k = 0; k < i->node->arg_count; k++)
		strvec_push(&raw, i->node->args[k].text);
	strvec_sort(&raw);
	for (size_t k = 0; k < raw.len; k++) {
		struct ast_word w = {raw.ptr[k], i->node->args[0].at};
		TRY(lower_expand_words(lw, st, &w, &words));
	}
	json_t *before AUTO_JSON = json_incref(json_object_get(st->config.config, "ExposedPorts"));
	stage_config_set(&st->config, "ExposedPorts", NULL);
	for (size_t k = 0; k < words.len; k++)
		TRY(lower_at(lw, st, i->node->args[0].at, add_ports(lw, st, words.ptr[k])));
	struct strvec names AUTO_STRVEC = {0};
	json_t *ports = json_object_get(st->config.config, "ExposedPorts"), *v;
	const char *key;
	json_object_foreach(ports, key, v) strvec_push(&names, key);
	strvec_sort(&names);
	json_t *all = before ? json_copy(before) : json_object();
	if (ports)
		json_object_update(all, ports);
	stage_config_set(&st->config, "ExposedPorts", all);
	struct buf text AUTO_BUF = {0};
	buf_adds(&text, "EXPOSE ");
	plain_list(&names, &text);
	history(lw, st, &text);
	return lower_charge(lw, text.len);
}

static struct err *volume(struct lower *lw, struct stage *st, const struct instr *i)
{
	struct strvec names AUTO_STRVEC = {0};
	for (size_t k = 0; k < i->node->arg_count; k++) {
		const char *path = NULL;
		TRY(lower_expand(lw, st, &i->node->args[k], &path));
		if (!*path)
			return lower_at(lw, st, i->node->args[k].at,
				err_new(ERR_INVALID, "VOLUME specified can not be an empty string"));
		stage_config_add_key(&st->config, "Volumes", path, json_object());
		strvec_push(&names, path);
	}
	struct buf text AUTO_BUF = {0};
	buf_adds(&text, "VOLUME ");
	plain_list(&names, &text);
	history(lw, st, &text);
	return NULL;
}

static bool signal_ok(const char *s)
{
	static const char *const names[] = {"HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "IOT", "BUS", "FPE",
		"KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CLD", "CONT",
		"STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
		"POLL", "PWR", "SYS", NULL};
	uint64_t number = 0;
	if (isdigit((unsigned char)*s))
		return str_to_u64(str_c(s), &number) && number > 0 && number <= INT32_MAX;
	struct str name = str_c(s);
	if (name.len > 3 && str_eq_nocase(str_n(name.ptr, 3), "SIG"))
		name = str_skip(name, 3);
	for (size_t i = 0; names[i]; i++)
		if (str_eq_nocase(name, names[i]))
			return true;
	/* RTMIN, RTMIN+n, RTMAX, RTMAX-n */
	bool min = name.len >= 5 && str_eq_nocase(str_n(name.ptr, 5), "RTMIN");
	bool max = name.len >= 5 && str_eq_nocase(str_n(name.ptr, 5), "RTMAX");
	struct str rest = str_skip(name, 5);
	if (!min && !max)
		return false;
	return rest.len == 0 ||
	       (rest.ptr[0] == (min ? '+' : '-') && str_to_u64(str_skip(rest, 1), &number) && number <= 15);
}

/* One expanded word that goes into one field. */
static struct err *single(
	struct lower *lw, struct stage *st, const struct instr *i, const char *key, const char *what)
{
	const struct ast_word *w = &i->node->args[0];
	const char *value = NULL;
	TRY(lower_expand(lw, st, w, &value));
	if (i->keyword == KW_STOPSIGNAL && !signal_ok(value))
		return lower_at(lw, st, w->at, err_new(ERR_INVALID, "invalid signal: %s", value));
	stage_config_set(&st->config, key, json_text(value));
	struct buf text AUTO_BUF = {0};
	buf_addf(&text, "%s %s", what, value);
	history(lw, st, &text);
	return NULL;
}

static void shell(struct lower *lw, struct stage *st, const struct instr *i)
{
	struct strvec argv AUTO_STRVEC = {0};
	for (size_t k = 0; k < i->node->arg_count; k++)
		strvec_push(&argv, i->node->args[k].text);
	stage_config_set(&st->config, "Shell", json_from_strings(strvec_list(&argv)));
	struct buf text AUTO_BUF = {0};
	buf_adds(&text, "SHELL ");
	plain_list(&argv, &text);
	history(lw, st, &text);
}

static int64_t health_time(
	const struct instr *i, enum flag_id f, const char *key, json_t *health, struct buf *text)
{
	int64_t ns = 0;
	if (i->flag[f])
		(void)duration_parse(i->flag[f], &ns);
	if (ns)
		json_object_set_new(health, key, json_integer(ns));
	buf_addf(text, " %s:", key);
	duration_text(ns, text);
	return ns;
}

static void healthcheck(struct lower *lw, struct stage *st, const struct instr *i)
{
	const struct ast_node *n = i->node;
	struct strvec test AUTO_STRVEC = {0};
	bool none = str_eq_nocase(str_c(n->args[0].text), "none");
	strvec_push(&test, none ? "NONE" : n->json ? "CMD" : "CMD-SHELL");
	for (size_t k = 1; k < n->arg_count; k++)
		strvec_push(&test, n->args[k].text);
	json_t *health = json_object();
	struct buf text AUTO_BUF = {0};
	json_object_set_new(health, "Test", json_from_strings(strvec_list(&test)));
	buf_adds(&text, "HEALTHCHECK {Test:");
	plain_list(&test, &text);
	health_time(i, FLAG_INTERVAL, "Interval", health, &text);
	health_time(i, FLAG_TIMEOUT, "Timeout", health, &text);
	health_time(i, FLAG_START_PERIOD, "StartPeriod", health, &text);
	health_time(i, FLAG_START_INTERVAL, "StartInterval", health, &text);
	uint64_t retries = 0;
	if (i->flag[FLAG_RETRIES])
		(void)str_to_u64(str_c(i->flag[FLAG_RETRIES]), &retries);
	if (retries)
		json_object_set_new(health, "Retries", json_integer((json_int_t)retries));
	buf_addf(&text, " Retries:%llu}", (unsigned long long)retries);
	stage_config_set(&st->config, "Healthcheck", health);
	history(lw, st, &text);
}

static void maintainer(struct lower *lw, struct stage *st, const struct instr *i)
{
	json_set_text(st->config.top, "author", i->node->args[0].text);
	struct buf text AUTO_BUF = {0};
	buf_addf(&text, "MAINTAINER %s", i->node->args[0].text);
	history(lw, st, &text);
}

/* Kept as text; a heredoc with its body, so that it can be read again. */
static void onbuild(struct stage *st, const struct instr *i)
{
	struct buf text AUTO_BUF = {0};
	buf_adds(&text, i->node->child->text);
	for (size_t k = 0; k < i->node->child->doc_count; k++) {
		const struct ast_heredoc *doc = &i->node->child->docs[k];
		buf_addf(&text, "\n" STR_FMT "%s", STR_ARG(doc->body), doc->name);
	}
	stage_config_add_item(&st->config, "OnBuild", json_text(buf_cstr(&text)));
}

struct err *lower_meta(struct lower *lw, struct stage *st, const struct instr *i)
{
	switch (i->keyword) {
	case KW_ARG:
		return arg(lw, st, i);
	case KW_ENV:
	case KW_LABEL:
		return pairs(lw, st, i);
	case KW_CMD:
	case KW_ENTRYPOINT:
		return command(lw, st, i);
	case KW_EXPOSE:
		return expose(lw, st, i);
	case KW_VOLUME:
		return volume(lw, st, i);
	case KW_USER:
		return single(lw, st, i, "User", "USER");
	case KW_STOPSIGNAL:
		return single(lw, st, i, "StopSignal", "STOPSIGNAL");
	case KW_SHELL:
		shell(lw, st, i);
		return NULL;
	case KW_HEALTHCHECK:
		healthcheck(lw, st, i);
		return NULL;
	case KW_MAINTAINER:
		maintainer(lw, st, i);
		return NULL;
	case KW_ONBUILD:
		onbuild(st, i);
		return NULL;
	default:
		return err_new(ERR_BUG, "instruction %s reached the wrong place", i->node->name);
	}
}
