// SPDX-License-Identifier: Apache-2.0
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/** Allocates without end in several threads: on the heap, off it, in mapped files, and in threads that come and go. */
public class Allocate {
    public static void main(String[] arguments) {
        int threads = Integer.parseInt(arguments[0]);
        for (int i = 0; i < threads; i++) {
            int seed = i;
            new Thread(() -> work(new Random(seed), seed)).start();
        }
    }

    static void work(Random random, int number) {
        List<Object> kept = new ArrayList<>();
        try {
            Path path = Files.createTempFile(Path.of("."), "mapped", ".data");
            while (true) {
                switch (random.nextInt(5)) {
                    case 0 -> kept.add(new byte[random.nextInt(1 << 20)]);
                    case 1 -> kept.add(ByteBuffer.allocateDirect(random.nextInt(1 << 20)));
                    case 2 -> {
                        try (FileChannel file =
                                FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
                            MappedByteBuffer map =
                                    file.map(FileChannel.MapMode.READ_WRITE, random.nextInt(64) * 4096L, 1 + random.nextInt(1 << 18));
                            map.put(0, (byte) 1);
                            kept.add(map);
                        }
                    }
                    case 3 -> {
                        Thread short_lived = new Thread(() -> { byte[] some = new byte[1 << 16]; some[0] = 1; });
                        short_lived.start();
                        short_lived.join();
                    }
                    default -> Thread.sleep(1);
                }
                if (kept.size() > 60) {
                    kept.subList(0, 40).clear();
                    if (random.nextInt(8) == 0) System.gc();
                }
            }
        } catch (Exception error) {
            error.printStackTrace();
            System.exit(1);
        }
    }
}
