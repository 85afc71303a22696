/* bcryptprimitives.dll for a Wine that has none (Wine 8 does not).
 *
 * Rust's standard library takes its random bytes from ProcessPrng and imports it when the program starts, so without this
 * DLL no Rust program starts under such a Wine. SystemFunction036 is the exported name of RtlGenRandom, the older source
 * of the same bytes. Real Windows has its own bcryptprimitives.dll: this one goes into a Wine prefix and nowhere else.
 */
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(PVOID buffer, ULONG length);

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE buffer, SIZE_T length)
{
    /* RtlGenRandom counts in 32 bits, ProcessPrng in 64. */
    const SIZE_T most = 1u << 30;

    while (length > 0) {
        ULONG part = (ULONG)(length < most ? length : most);
        if (!SystemFunction036(buffer, part))
            return FALSE;
        buffer += part;
        length -= part;
    }
    return TRUE;
}
