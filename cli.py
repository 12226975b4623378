"""Run from a checkout: python cli.py run tpu-v1 vgg16"""

from hwsim.cli import main

if __name__ == "__main__":
    main()
