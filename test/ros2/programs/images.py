"""images.py TOPIC: publishes negatives of the images that demos/device/pattern.h describes, until it is killed."""

import sys
import time

import numpy
import rclpy
from rmw_hazcat_rs.msg import Image


def pattern(number, count):
    """The bytes of image `number`."""
    with numpy.errstate(over='ignore'):
        word = numpy.arange((count + 7) // 8, dtype=numpy.uint64) ^ numpy.uint64(number)
        word = (word ^ word >> numpy.uint64(30)) * numpy.uint64(0xbf58476d1ce4e5b9)
        word = (word ^ word >> numpy.uint64(27)) * numpy.uint64(0x94d049bb133111eb)
        word ^= word >> numpy.uint64(31)
    return word.astype('<u8').view(numpy.uint8)[:count]


def main():
    rclpy.init()
    node = rclpy.create_node('images')
    publisher = node.create_publisher(Image, sys.argv[1], 100)
    number = 0
    while True:
        number += 1
        message = Image(number=number, width=640, height=480)
        message.data = 255 - pattern(number, len(message.data))
        publisher.publish(message)
        time.sleep(0.05)


main()
