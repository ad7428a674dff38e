/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "repo/repo.h"
#include "repo/service_versions.h"
#include "repo/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_n((const char *)data, size);
	AUTO(arena_freep) struct arena *a = arena_new();
	struct yaml_node *n = NULL;
	struct err *e = yaml_parse(a, text, "input", &n);
	err_free(e);
	struct repo_config c = {0};
	e = repo_config_parse(text, "cooper.yaml", "folder", &c);
	if (!e)
		repo_config_fini(&c);
	err_free(e);
	struct service_versions v = {0};
	e = service_versions_parse(text, "service-versions.yaml", &v);
	if (!e) {
		(void)service_versions_of(&v, "a");
		service_versions_fini(&v);
	}
	err_free(e);
	return 0;
}
