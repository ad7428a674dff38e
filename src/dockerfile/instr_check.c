/* SPDX-License-Identifier: Apache-2.0 */
#include "dockerfile/instr_check.h"
#include "base/duration.h"

#include "dockerfile/heredoc.h"

#include <ctype.h>
#include <string.h>

static void at_least_one(struct diag *d, const struct ast_node *n)
{
	if (n->arg_count == 0)
		diag_add(d, n->at, "%s requires at least one argument", n->name);
}

static void exactly_one(struct diag *d, const struct ast_node *n)
{
	if (n->arg_count != 1)
		diag_add(d, n->at, "%s requires exactly one argument", n->name);
}

static bool stage_name_ok(const char *s)
{
	if (!isalpha((unsigned char)*s))
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("-_.", *s))
			return false;
	return true;
}

static void check_from(struct diag *d, const struct ast_node *n)
{
	if (n->arg_count != 1 && n->arg_count != 3) {
		diag_add(d, n->at, "FROM requires either one or three arguments");
		return;
	}
	if (n->arg_count == 1)
		return;
	if (!str_eq_nocase(str_c(n->args[1].text), "as"))
		diag_add(d, n->args[1].at, "FROM requires AS before the stage name, not \"%s\"",
			n->args[1].text);
	else if (!stage_name_ok(n->args[2].text))
		diag_add(d, n->args[2].at,
			"invalid name for build stage: \"%s\": it must start with a letter and hold only "
			"letters, digits, - _ and .",
			n->args[2].text);
}

static void check_arg(struct diag *d, const struct ast_node *n)
{
	at_least_one(d, n);
	for (size_t i = 0; i < n->arg_count; i++)
		if (n->args[i].text[0] == '=' || !n->args[i].text[0])
			diag_add(d, n->args[i].at, "ARG names can not be blank");
}

static void check_pairs(struct diag *d, const struct ast_node *n)
{
	for (size_t i = 0; i + 2 < n->arg_count; i += 3)
		if (!n->args[i].text[0])
			diag_add(d, n->args[i].at, "%s names can not be blank", n->name);
	if (n->arg_count == 0 && !*n->rest)
		at_least_one(d, n);
}

/* Each heredoc must be a word of its own among the sources. */
static void check_copy_docs(struct diag *d, const struct ast_node *n)
{
	struct arena *a AUTO(arena_freep) = arena_new();
	size_t found = 0;
	for (size_t k = 0; k < n->arg_count; k++) {
		struct ast_heredoc doc = {0};
		found += heredoc_word(a, n->args[k].text, &doc);
	}
	if (found < n->doc_count)
		diag_add(
			d, n->docs[0].at, "the heredocs of %s must be words without blanks: <<NAME", n->name);
}

static void check_copy(struct diag *d, const struct instr *i)
{
	const struct ast_node *n = i->node;
	if (n->doc_count)
		check_copy_docs(d, n);
	if (n->arg_count < 2) {
		diag_add(d, n->at, "%s requires at least two arguments%s", n->name,
			n->arg_count ? ", but only one was provided: destination could not be determined"
				     : "");
		return;
	}
	const struct ast_word *dest = &n->args[n->arg_count - 1];
	for (size_t k = 0; k < n->doc_count; k++)
		if (n->docs[k].at.line == dest->at.line && n->docs[k].at.column >= dest->at.column)
			diag_add(d, dest->at, "%s cannot accept a heredoc as a destination", n->name);
	if (i->flag[FLAG_FROM] && strchr(i->flag[FLAG_FROM], '$'))
		diag_add(d, i->flag_at[FLAG_FROM],
			"'--from' doesn't support variable expansion, define an alias stage instead: ARG X, "
			"then FROM ${X} AS name");
	if (i->flag[FLAG_FROM] && !*i->flag[FLAG_FROM])
		diag_add(d, i->flag_at[FLAG_FROM], "--from is empty");
}

static void check_choice(struct diag *d, const struct instr *i, enum flag_id f, const char *const *choices)
{
	if (!i->flag[f])
		return;
	for (size_t k = 0; choices[k]; k++)
		if (strcmp(i->flag[f], choices[k]) == 0)
			return;
	const char *near = str_suggest(i->flag[f], choices);
	diag_add(d, i->flag_at[f], "invalid value for --%s: \"%s\"%s%s%s", flag_name(f), i->flag[f],
		near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
}

static void check_run(struct diag *d, const struct instr *i)
{
	static const char *const networks[] = {"default", "none", "host", NULL};
	static const char *const securities[] = {"sandbox", "insecure", NULL};
	const struct ast_node *n = i->node;
	if (n->arg_count == 0 || !n->args[0].text[0])
		diag_add(d, n->at, "RUN requires a command");
	check_choice(d, i, FLAG_NETWORK, networks);
	check_choice(d, i, FLAG_SECURITY, securities);
}

static void check_shell(struct diag *d, const struct ast_node *n)
{
	if (!n->json)
		diag_add(d, n->at, "SHELL requires the arguments to be in JSON form");
	else
		at_least_one(d, n);
}

static void check_volume(struct diag *d, const struct ast_node *n)
{
	at_least_one(d, n);
	for (size_t k = 0; k < n->arg_count; k++)
		if (str_trim(str_c(n->args[k].text)).len == 0)
			diag_add(d, n->args[k].at, "VOLUME specified can not be an empty string");
}

static void check_durations(struct diag *d, const struct instr *i)
{
	static const enum flag_id flags[] = {
		FLAG_INTERVAL, FLAG_TIMEOUT, FLAG_START_PERIOD, FLAG_START_INTERVAL};
	for (size_t k = 0; k < ARRAY_LEN(flags); k++) {
		const char *text = i->flag[flags[k]];
		int64_t ns = 0;
		if (!text)
			continue;
		if (!duration_parse(text, &ns))
			diag_add(d, i->flag_at[flags[k]],
				"invalid duration for --%s: \"%s\" (write 30s, 1m30s, 500ms)",
				flag_name(flags[k]), text);
		else if (ns < 0 || (ns > 0 && ns < 1000000))
			diag_add(d, i->flag_at[flags[k]], "interval \"%s\" cannot be less than 1ms",
				flag_name(flags[k]));
	}
	uint64_t retries = 0;
	if (i->flag[FLAG_RETRIES] &&
		(!str_to_u64(str_c(i->flag[FLAG_RETRIES]), &retries) || retries > INT32_MAX))
		diag_add(d, i->flag_at[FLAG_RETRIES], "--retries must be a number from 0, not \"%s\"",
			i->flag[FLAG_RETRIES]);
}

static void check_health(struct diag *d, const struct instr *i)
{
	const struct ast_node *n = i->node;
	check_durations(d, i);
	if (n->arg_count == 0) {
		at_least_one(d, n);
		return;
	}
	const char *type = n->args[0].text;
	if (str_eq_nocase(str_c(type), "none")) {
		if (n->arg_count > 1)
			diag_add(d, n->args[1].at, "HEALTHCHECK NONE takes no arguments");
	} else if (!str_eq_nocase(str_c(type), "cmd")) {
		diag_add(d, n->args[0].at, "unknown type \"%s\" in HEALTHCHECK (try CMD)", type);
	} else if (n->arg_count == 1) {
		diag_add(d, n->args[0].at, "missing command after HEALTHCHECK CMD");
	}
}

static void check_onbuild(struct diag *d, const struct ast_node *n)
{
	if (!n->child) {
		if (!*n->rest)
			at_least_one(d, n);
		return;
	}
	if (n->child->keyword == KW_FROM || n->child->keyword == KW_MAINTAINER)
		diag_add(d, n->child->at, "%s isn't allowed as an ONBUILD trigger", n->child->name);
}

void instr_check(struct diag *d, const struct instr *i)
{
	const struct ast_node *n = i->node;
	switch (i->keyword) {
	case KW_FROM:
		check_from(d, n);
		return;
	case KW_ARG:
		check_arg(d, n);
		return;
	case KW_ENV:
	case KW_LABEL:
		check_pairs(d, n);
		return;
	case KW_ADD:
	case KW_COPY:
		check_copy(d, i);
		return;
	case KW_RUN:
		check_run(d, i);
		return;
	case KW_SHELL:
		check_shell(d, n);
		return;
	case KW_VOLUME:
		check_volume(d, n);
		return;
	case KW_HEALTHCHECK:
		check_health(d, i);
		return;
	case KW_ONBUILD:
		check_onbuild(d, n);
		return;
	case KW_CMD:
	case KW_ENTRYPOINT:
		if (!n->json)
			at_least_one(d, n);
		return;
	case KW_EXPOSE:
		at_least_one(d, n);
		return;
	case KW_MAINTAINER:
	case KW_STOPSIGNAL:
	case KW_USER:
	case KW_WORKDIR:
		exactly_one(d, n);
		return;
	case KW_UNKNOWN:
		return;
	}
}
