import sys

from sat_keras.cli import main

sys.exit(main())
