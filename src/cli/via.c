/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/via.h"

#include "base/mem.h"
#include "repo/repo.h"

#include <stdarg.h>
#include <stdlib.h>

struct err *via_choose(const char *text, const char *configured, struct via *out)
{
	const char *env = getenv("COOPER_SERVER");

	if (env && *env)
		configured = env;
	if (text && (cstr_starts(text, "http://") || cstr_starts(text, "https://")))
		*out = (struct via){RUN_VIA_SERVER, text, cstr_eq(text, configured) ? NULL : text};
	else if (!text)
		*out = configured ? (struct via){RUN_VIA_SERVER, configured, NULL}
				  : (struct via){RUN_VIA_LOCAL, NULL, NULL};
	else if (cstr_eq(text, "local"))
		*out = (struct via){RUN_VIA_LOCAL, NULL, configured ? text : NULL};
	else if (cstr_eq(text, "server") && configured)
		*out = (struct via){RUN_VIA_SERVER, configured, NULL};
	else if (cstr_eq(text, "server"))
		return err_hint(err_new(ERR_USAGE, "--via server: cooper.yaml names no server"),
			"add a line: server: https://cooper.example, or set COOPER_SERVER");
	else
		return err_new(ERR_USAGE, "--via is local or server (or the URL of one), not \"%s\"", text);
	return NULL;
}

char *via_command(const struct via *v, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	AUTO_FREE char *command = mem_vprintf(fmt, ap);
	va_end(ap);
	return v->need ? mem_printf("%s --via %s", command, v->need) : steal(&command);
}

static struct err *configured_here(struct repo_config *cfg)
{
	AUTO(repo_freep) struct repo *repo = NULL;
	struct err *e = repo_open(".", &repo);

	if (err_kind(e) == ERR_NOT_FOUND) {
		err_ignore(e, "outside of a repository there is this machine's queue");
		return NULL;
	}
	TRY(e);
	e = repo_config_load(repo, NULL, cfg);
	return e ? err_hint(err_wrap(e, "finding the server"), "--via local reads this machine's runs")
		 : NULL;
}

struct err *via_source(struct engine *e, const char *text, struct run_source *out)
{
	AUTO(repo_config_fini) struct repo_config cfg = {0};
	struct via via;

	if (!cstr_eq(text, "local"))
		TRY(configured_here(&cfg));
	TRY(via_choose(text, cfg.server, &via));
	return via.via == RUN_VIA_LOCAL ? run_source_local(e, out) : run_source_server(e, via.server, out);
}

struct err *via_run_number(const char *text, int64_t *out)
{
	uint64_t n = 0;

	if (!str_to_u64(str_c(text), &n) || n > INT64_MAX)
		return err_new(ERR_USAGE, "a run is named by its number, not \"%s\"", text);
	*out = (int64_t)n;
	return NULL;
}
