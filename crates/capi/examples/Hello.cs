// Reads a variable by P/Invoke. This repository does not build it: put it into a console project.
//
//     dotnet run    # with the library (mapvar.dll, libmapvar.so) beside the program or on its path
using System;
using System.Runtime.InteropServices;
using System.Text;

static class Mapvar
{
    [DllImport("mapvar")]
    static extern int mapvar_map_open(byte[] name, UIntPtr nameLen, out IntPtr map);
    [DllImport("mapvar")]
    static extern int mapvar_map_get_i64(IntPtr map, byte[] name, UIntPtr nameLen, out long value);
    [DllImport("mapvar")]
    static extern int mapvar_map_close(IntPtr map);
    [DllImport("mapvar")]
    static extern IntPtr mapvar_last_error_message();

    static void Check(int code)
    {
        // At once, and on the same thread: the message is the thread's.
        if (code != 0) throw new Exception(Marshal.PtrToStringUTF8(mapvar_last_error_message()));
    }

    static void Main()
    {
        byte[] map = Encoding.UTF8.GetBytes("hello"), bar = Encoding.UTF8.GetBytes("bar");
        Check(mapvar_map_open(map, (UIntPtr)map.Length, out IntPtr handle));
        Check(mapvar_map_get_i64(handle, bar, (UIntPtr)bar.Length, out long value));
        Console.WriteLine(value);
        Check(mapvar_map_close(handle));
    }
}
