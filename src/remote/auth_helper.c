/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "remote/auth_internal.h"
#include "sys/process.h"

#include <ctype.h>
#include <string.h>

#define OUTPUT_MAX ((size_t)1 << 20)
#define HELPER_TIMEOUT (60 * CLOCK_SECOND)

/* The host as docker hands it to helpers. */
static const char *server_of(const char *registry)
{
	return cstr_eq(registry, "docker.io") ? "https://index.docker.io/v1/" : registry;
}

static bool valid_helper(const char *name)
{
	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("-_.", *c))
			return false;
	return *name != '\0';
}

static struct err *run(
	const char *helper, const char *verb, struct str input, const struct cancel *cancel, struct buf *out)
{
	if (!valid_helper(helper))
		return err_new(ERR_INVALID, "'%s' is no name for a credential helper", helper);
	AUTO_FREE char *program = mem_printf("docker-credential-%s", helper);
	const char *const argv[] = {program, verb, NULL};
	const struct process_request rq = {.argv = argv,
		.input = input,
		.max_output = OUTPUT_MAX,
		.timeout = HELPER_TIMEOUT,
		.cancel = cancel};
	AUTO_BUF struct buf errout = {0};
	return process_run(&rq, out, &errout);
}

/* The program is not installed, or it answers in the words of docker's library that it has nothing: both are
 * no failure. */
static struct err *judge(struct err *e, const struct buf *out, enum helper_verdict *verdict)
{
	*verdict = HELPER_OK;
	if (!e)
		return NULL;
	if (err_kind(e) == ERR_NOT_FOUND) {
		err_ignore(e, "a missing helper is reported as such");
		*verdict = HELPER_MISSING;
		return NULL;
	}
	if (err_kind(e) == ERR_EXITED && strstr(buf_cstr(out), "credentials not found")) {
		err_ignore(e, "the helper has no entry");
		*verdict = HELPER_NOTHING;
		return NULL;
	}
	return e;
}

struct err *helper_get(const char *helper, const char *registry, const struct cancel *cancel,
	struct credential *out, enum helper_verdict *verdict)
{
	AUTO_BUF struct buf text = {0};
	TRY(judge(run(helper, "get", str_c(server_of(registry)), cancel, &text), &text, verdict));
	if (*verdict != HELPER_OK)
		return NULL;
	AUTO_JSON json_t *doc = NULL;
	AUTO_FREE char *what = mem_printf("the answer of docker-credential-%s", helper);
	const char *user = NULL, *secret = NULL;
	TRY(json_parse(buf_str(&text), what, &doc));
	TRY(json_get_string(doc, "Username", what, &user));
	TRY(json_get_string(doc, "Secret", what, &secret));
	if (!secret || !*secret) {
		*verdict = HELPER_NOTHING;
		return NULL;
	}
	if (cstr_eq(user, "<token>")) {
		out->identity_token = mem_strdup(secret);
	} else {
		out->user = mem_strdup(user ? user : "");
		out->password = mem_strdup(secret);
	}
	out->source = mem_printf("docker-credential-%s", helper);
	return NULL;
}

struct err *helper_store(const char *helper, const char *registry, const char *user, const char *password,
	const struct cancel *cancel)
{
	AUTO_JSON json_t *doc = json_object();
	json_set_text(doc, "ServerURL", server_of(registry));
	json_set_text(doc, "Username", user);
	json_set_text(doc, "Secret", password);
	AUTO_FREE char *text = json_dump(doc, false);
	AUTO_BUF struct buf out = {0};
	return run(helper, "store", str_c(text), cancel, &out);
}

struct err *helper_erase(
	const char *helper, const char *registry, const struct cancel *cancel, enum helper_verdict *verdict)
{
	AUTO(credential_fini) struct credential old = {0};
	TRY(helper_get(helper, registry, cancel, &old, verdict));
	if (*verdict != HELPER_OK)
		return NULL;
	AUTO_BUF struct buf out = {0};
	return judge(run(helper, "erase", str_c(server_of(registry)), cancel, &out), &out, verdict);
}
