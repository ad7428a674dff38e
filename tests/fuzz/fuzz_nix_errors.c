/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever Nix, or what it built, wrote: there is an error of one bounded line. */
#include "base/mem.h"
#include "nix/nix_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct nix_request rq = {.root = "/r", .file = "containers/x/default.nix"};
	struct err *why = err_with_exit_code(err_new(ERR_EXITED, "ended with status 1"), 1);
	struct err *e = nix_explain(str_n((const char *)data, size), &rq, why);
	if (!e)
		abort();
	AUTO_FREE char *text = err_text(e);
	if (strlen(text) > 2048 || strchr(text, '\n'))
		abort();
	err_free(e);
	return 0;
}
