/* SPDX-License-Identifier: Apache-2.0 */
#include "release/check.h"

#include "base/mem.h"
#include "release/check_internal.h"

#include <stdarg.h>
#include <string.h>

static const struct check_rule_text rules[CHECK_RULES] = {
	[CHECK_NO_MANIFESTS] = {"no-manifests", "A folder of manifests is missing or empty.",
		"If there are no manifests, say so in cooper.yaml: manifests: []"},
	[CHECK_MANIFEST] = {"manifest", "A manifest cannot be read.", "Correct the YAML."},
	[CHECK_SENTINEL] = {"sentinel-without-entry",
		"An image has the tag \"kustomized\", and no images entry of its kustomization replaces it.",
		"Add the entry to images: of the kustomization."},
	[CHECK_PIN] = {"invalid-pin", "A pin is no valid image name, or is no plain text.",
		"Write name, tag and digest out as plain texts."},
	[CHECK_FIXED] = {"fixed-pin", "A pin is written so that cooper pin cannot change it.",
		"Write it as a plain text, without anchor, alias or block."},
	[CHECK_UNTAGGED] = {"no-tag", "A pin has neither a tag nor a digest.", "Pin a tag with cooper pin."},
	[CHECK_MISSING] = {"not-in-registry", "A pinned image is not in the registry.",
		"See whether its build is finished (cooper logs), or pin another tag."},
	[CHECK_UNVERIFIED] = {"could-not-verify",
		"The registry did not tell whether a pinned image is there.",
		"Check that the registry can be reached, and its credentials."},
	[CHECK_DIGEST] = {"digest-differs",
		"The tag of a pin stands for another digest than the one that is pinned with it.",
		"Pin both anew with cooper pin."},
	[CHECK_BRANCH] = {"not-from-main", "A pinned image was built from a commit that is not on main.",
		"Release from main and pin that: cooper promote."},
	[CHECK_UNKNOWN] = {"unknown-commit", "It cannot be told which commit a pinned image was built from.",
		"git fetch; or release from main and pin that: cooper promote."},
	[CHECK_TWO_TAGS] = {"two-tags", "One image is pinned at several tags.",
		"If that is not meant, pin one of them everywhere: cooper pin --all-services."},
	[CHECK_BUILD_FILE] = {"no-build-file", "A folder of containers has no build file.",
		"Add one, or move the folder elsewhere."},
	[CHECK_VERSION] = {"no-version", "A build file declares no version, or one that cannot be a tag.",
		"Declare the version as a plain text."},
	[CHECK_VERSIONS_DIFFER] = {"versions-differ",
		"The build files of a container, or service-versions.yaml, have different versions.",
		"Set them to one version."},
	[CHECK_SERVICE_VERSION] = {"service-version",
		"service-versions.yaml has no current-version for a container, or cannot be read.",
		"Add it, or list the container under exempt-containers:."},
};

const struct check_rule_text *check_rule_text(enum check_rule r)
{
	return &rules[r];
}

const char *registry_state_name(enum registry_state s)
{
	static const char *const names[] = {
		[REGISTRY_UNVERIFIED] = "unverified", [REGISTRY_OK] = "ok", [REGISTRY_MISSING] = "missing"};
	return names[s];
}

void check_report_fini(struct check_report *r)
{
	for (size_t i = 0; i < r->pins.len; i++)
		mem_freep(&((struct checked_pin *)vec_at(&r->pins, i))->reason);
	for (size_t i = 0; i < r->violations.len; i++) {
		struct violation *v = vec_at(&r->violations, i);
		mem_freep(&v->file);
		mem_freep(&v->message);
		mem_freep(&v->hint);
	}
	for (size_t i = 0; i < r->versions.len; i++) {
		struct checked_versions *v = vec_at(&r->versions, i);
		mem_freep(&v->container);
		mem_freep(&v->kinds);
		mem_freep(&v->versions);
	}
	vec_fini(&r->pins);
	vec_fini(&r->violations);
	vec_fini(&r->versions);
	manifest_scan_fini(&r->scan);
	mem_freep(&r->main);
	mem_freep(&r->scope);
	*r = (struct check_report){0};
}

static bool is_warning(const struct check *c, enum check_rule rule)
{
	const struct strvec *dirs = &c->config.manifests;
	if (rule == CHECK_NO_MANIFESTS) /* the default may be missing; what somebody wrote down may not */
		return dirs->len == 1 && cstr_eq(dirs->ptr[0], "argocd/manifests");
	return rule == CHECK_FIXED || rule == CHECK_TWO_TAGS || rule == CHECK_BUILD_FILE ||
	       (rule == CHECK_UNKNOWN && !c->rq->strict);
}

void check_found(struct check *c, enum check_rule rule, const char *file, uint32_t line, const char *hint,
	const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	struct violation *v = vec_push(&c->out->violations);
	*v = (struct violation){.rule = rule,
		.warning = is_warning(c, rule),
		.file = mem_strdup(file),
		.line = line,
		.message = mem_vprintf(fmt, ap),
		.hint = mem_strdup(hint)};
	va_end(ap);
	*(v->warning ? &c->out->warnings : &c->out->errors) += 1;
}

/* A number and a colon at the beginning. */
static bool take_number(struct str *text, uint64_t *out)
{
	struct str rest = *text, head;
	if (!str_split(&rest, ':', &head) || !rest.ptr || !str_to_u64(head, out))
		return false;
	*text = rest;
	return true;
}

void check_found_text(struct check *c, enum check_rule rule, const char *file, uint32_t line,
	const char *hint, const char *text)
{
	struct str rest = str_c(text);
	uint64_t told = 0, column = 0;
	if (str_starts(rest, file) && rest.len > strlen(file) && rest.ptr[strlen(file)] == ':') {
		rest = str_skip(rest, strlen(file) + 1);
		if (take_number(&rest, &told))
			(void)take_number(&rest, &column);
	}
	rest = str_trim(rest);
	if (told && told <= UINT32_MAX)
		line = (uint32_t)told;
	check_found(c, rule, file, line, hint, STR_FMT, STR_ARG(rest));
}

static int by_place(const void *a, const void *b)
{
	const struct violation *x = a, *y = b;
	int order = strcmp(x->file, y->file);
	if (!order)
		order = x->line < y->line ? -1 : x->line > y->line;
	if (!order)
		order = (int)x->rule - (int)y->rule;
	return order ? order : strcmp(x->message, y->message);
}

static struct err *run_check(struct check *c)
{
	struct repo *r = c->rq->repo;
	TRY(repo_config_load(r, NULL, &c->config));
	TRY(repo_main_required(r, &c->out->main, NULL));
	TRY(repo_main_fetched(r, &c->out->fetched));
	TRY(check_scope_find(c->rq, &c->config, &c->scope));
	c->out->scope = mem_strdup(c->scope.text);
	TRY(check_manifests(c));
	TRY(check_versions(c));
	vec_sort(&c->out->violations, by_place);
	return NULL;
}

struct err *release_check(const struct check_request *rq, struct check_report *out)
{
	struct check_report report = {.pins = VEC_OF(struct checked_pin),
		.violations = VEC_OF(struct violation),
		.versions = VEC_OF(struct checked_versions)};
	struct check c = {.rq = rq, .out = &report};
	struct err *e = run_check(&c);
	check_scope_fini(&c.scope);
	repo_config_fini(&c.config);
	if (!e)
		*out = report;
	else
		check_report_fini(&report);
	return e;
}
