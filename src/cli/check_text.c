/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "cli/check_output.h"
#include "cli/table.h"
#include "cli/terminal.h"

#include <string.h>

static void print_head(const struct check_report *r, FILE *out)
{
	char ago[CLOCK_TEXT_MAX];
	AUTO_FREE char *scope = terminal_line(r->scope);

	fprintf(out, "compared with %s", r->main);
	if (r->fetched)
		fprintf(out, ", fetched %s ago", clock_age(clock_now() - r->fetched, ago));
	fprintf(out, "\nlooked at %s: %zu pin%s, %zu container%s\n", scope, r->pins.len, plural(r->pins.len),
		r->versions.len, plural(r->versions.len));
}

static void print_versions(const struct check_report *r, FILE *out)
{
	static const char *const titles[] = {"container", "kinds", "", "versions"};
	AUTO(table_fini) struct table t = {0};

	if (!r->versions.len)
		return;
	table_start(&t, titles, ARRAY_LEN(titles));
	for (size_t i = 0; i < r->versions.len; i++) {
		const struct checked_versions *v = vec_at(&r->versions, i);
		table_cell(&t, v->container);
		table_cell(&t, v->kinds);
		table_cell(&t, v->ok ? "OK" : "FAIL");
		table_cell(&t, v->versions);
	}
	table_print(&t, out);
}

static void print_violation(const struct violation *v, bool *told, FILE *out)
{
	const struct check_rule_text *rule = check_rule_text(v->rule);
	AUTO_FREE char *file = terminal_line(v->file);
	AUTO_FREE char *message = terminal_line(v->message);

	fputs(file, out);
	if (v->line)
		fprintf(out, ":%u", v->line);
	fprintf(out, ": %s: %s [%s]\n", v->warning ? "warning" : "error", message, rule->id);
	/* What helps against a rule is said once. */
	if (v->hint)
		fprintf(out, "    %s\n", v->hint);
	else if (!told[v->rule])
		fprintf(out, "    %s\n", rule->fix);
	told[v->rule] = true;
}

void check_print_text(const struct check_report *r, FILE *out)
{
	bool told[CHECK_RULES] = {0};

	print_head(r, out);
	print_versions(r, out);
	for (size_t i = 0; i < r->violations.len; i++)
		print_violation(vec_at(&r->violations, i), told, out);
	if (!r->violations.len)
		fprintf(out, "nothing to object to\n");
	else
		fprintf(out, "%zu error%s, %zu warning%s\n", r->errors, plural(r->errors), r->warnings,
			plural(r->warnings));
}
