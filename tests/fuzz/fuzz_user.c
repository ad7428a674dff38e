/* SPDX-License-Identifier: Apache-2.0 */
/* Input: the user asked for, a NUL, /etc/passwd, a NUL, /etc/group. */
#include "exec/user.h"

#include "base/mem.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_n((const char *)data, size), spec = {0}, passwd = {0};
	str_split(&rest, 0, &spec);
	str_split(&rest, 0, &passwd);
	AUTO_FREE char *who = mem_strndup(spec.ptr, spec.len);
	AUTO(image_user_fini) struct image_user u = {0};
	err_ignore(image_user_find(passwd, rest, who, &u), "most are unknown");
	return 0;
}
